"""`kd cache`: the teacher caches that lie around."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdcore.cli import output
from kdcore.cli.group import QuickCommand, QuickSubgroup
from kdcore.cli.output import JsonFlag
from kdcore.text import byte_size

if TYPE_CHECKING:
    from kdcore.teacher_cache.listing import CacheInfo

CachePath = Annotated[Path, typer.Argument(metavar="PATH", help="A cache's folder.", show_default=False)]


def list_caches(
    folders: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FOLDER]...", help="Folders to search, with all folders below.  [default: runs]"
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """List the teacher caches in and below folders."""
    from kdcore.commands.lists import list_caches as find

    found = find(folders or ["runs"])
    if as_json:
        output.print_json([info.as_dict() for info in found])
        return
    if not found:
        output.say("there are none")
        return
    rows = []
    for info in found:
        about = info.manifest
        if about is None:
            rows.append(("damaged", "", "", "", byte_size(info.bytes_used), str(info.path)))
            continue
        content = ", ".join(field.name for field in about.fields)
        rows.append(
            (
                f"{about.teacher} on {about.dataset}",
                f"{f'{about.samples:,}' if about.samples else 'stream'} x {about.augmentations}",
                f"{content} ({about.fields[0].dtype})",
                f"{100 * info.filled / about.rows:.0f} %" if about.rows else f"{info.filled:,} rows",
                byte_size(info.bytes_used),
                str(info.path),
            )
        )
    output.say_all(output.table(("teacher", "samples x augm.", "content", "filled", "on disk", "path"), rows))


def show_cache(path: CachePath, as_json: JsonFlag = False) -> None:
    """Show what a teacher cache holds, and for which teacher and images."""
    from kdcore.commands.lists import show_cache as look_at

    info = look_at(path)
    if as_json:
        output.print_json(info.as_dict())
        return
    if info.manifest is None:
        output.print_error(f"{path}: {info.problem}")
        raise typer.Exit(2)
    about = info.manifest
    weights = (about.identity.get("teacher") or {}).get("weights") or "?"
    output.say(f"teacher   {about.teacher}, weights {weights[:12]}")
    data = about.identity.get("data") or {}
    size = "x".join(map(str, data.get("image_size") or ["?"]))
    samples = f"{about.samples:,} samples" if about.samples else "a stream, samples"
    output.say(f"data      {about.dataset}, split {data.get('split')}, {samples} of {size}")
    of = f" of {about.rows:,}" if about.rows else ""
    output.say(f"rows      {info.filled:,}{of} filled: {about.augmentations} augmentations each")
    for field in about.fields:
        shape = "x".join(map(str, field.shape))
        output.say(f"          {field.name} {shape} {field.dtype}, {byte_size(field.row_bytes)} a row")
    output.say(f"seed      {about.identity.get('seed')}, teacher in {about.identity.get('precision')}")
    output.say(f"made      {about.created} by kdcore {about.kdcore}")
    output.say(f"on disk   {byte_size(info.bytes_used)}")


def check_cache(path: CachePath, as_json: JsonFlag = False) -> None:
    """Read all rows of a teacher cache and compare them with their checksums."""
    from kdcore.commands.lists import check_cache as check

    checked = check(path)
    info, damaged = checked.cache, list(checked.damaged)
    if as_json:
        output.print_json({"problem": info.problem, "filled": info.filled, "damaged": damaged})
    elif info.problem is not None:
        output.print_error(f"{path}: {info.problem}")
    else:
        told = (
            f"{len(damaged):,} of them are damaged and will be computed again" if damaged else "all are whole"
        )
        output.say(f"{info.filled:,} rows are filled; {told}")
    if not checked.ok:
        raise typer.Exit(1)


def remove_cache(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders of caches.", show_default=False)
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Delete teacher caches."""
    from kdcore.commands.lists import remove_cache as remove
    from kdcore.commands.lists import show_cache as look_at

    found: list[CacheInfo] = [look_at(path) for path in paths]  # all of them, before one is gone
    for info in found:
        if yes or typer.confirm(f"delete {info.path} ({byte_size(info.bytes_used)})?", err=True):
            remove(info.path)
            if not as_json:
                output.say(f"deleted {info.path}")
    if as_json:
        output.print_json([str(info.path) for info in found if not info.path.exists()])


cache_app = typer.Typer(
    cls=QuickSubgroup,
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, show, check or delete teacher caches.",
)
cache_app.command("list", cls=QuickCommand)(list_caches)
cache_app.command("show", cls=QuickCommand)(show_cache)
cache_app.command("check", cls=QuickCommand)(check_cache)
cache_app.command("rm", cls=QuickCommand)(remove_cache)

"""`data.dataset`: which of the three kinds of name it is, and whether there is such a thing."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.errors import Problem, UserError, nearest
from kdcore.spec import installed
from kdcore.spec.paths import absolute, kind_of, missing
from kdcore.spec.resolve import resolve_options

if TYPE_CHECKING:
    from kdcore.plugins import Plugins
    from kdcore.spec.models import DataSpec

WHERE: Final = "data.dataset"
TARS: Final = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".txz", ".tar.bz2", ".tbz2", ".tbz")
_OTHER_ARCHIVES: Final = (".zip", ".gz", ".xz", ".bz2", ".zst", ".7z", ".rar")


def check_dataset(data: DataSpec, base: Path, plugins: Plugins) -> tuple[str, list[Problem]]:
    """The dataset's name, absolute if it is a path, and what is wrong with it.

    A relative path is looked for in `base`, then in `data.root`.
    """
    name = data.dataset
    if name in {known for item in plugins.datasets() for known in (item.entry.name, item.qualified)}:
        return name, _registered(data, plugins)
    prefix, slash, rest = name.partition("/")
    if slash and prefix.lower() in installed.dataset_prefixes():
        return name, _of_timm(name, prefix.lower(), rest)
    paths = [absolute(name, base)]
    if data.root is not None:
        paths.append(absolute(name, Path(absolute(data.root, base))))
    paths = list(dict.fromkeys(paths))
    for path in paths:
        kind = kind_of(path)
        if kind == "folder" or (kind == "file" and path.lower().endswith(TARS)):
            return path, []
        if kind == "file":
            message = f"{path} is a file, and no archive that is read"
            return name, [
                Problem(WHERE, message, name, f"a folder, or a file that ends in {', '.join(TARS)}")
            ]
    return name, [_unknown(name, paths, plugins)]


def dataset_options(data: DataSpec, plugins: Plugins) -> tuple[dict[str, Any], list[Problem]]:
    """The dataset's options with the defaults of those that are left out, and what is wrong with them."""
    try:
        provided = plugins.dataset(data.dataset, WHERE)
    except UserError:  # no registered one, or one that is told of elsewhere
        message = "only datasets of plugins have options, and this is none"
        return data.options, [Problem("data.options", message, data.options)] if data.options else []
    try:
        options = resolve_options(provided, data.options, plugins, "data.options")
    except UserError as error:
        return data.options, list(error.problems)
    if options is not None:
        return options.model_dump(mode="json", by_alias=True, round_trip=True), []
    message = f"dataset '{provided.entry.name}' has no options"
    return data.options, [Problem(f"data.options.{key}", message, data.options[key]) for key in data.options]


def _registered(data: DataSpec, plugins: Plugins) -> list[Problem]:
    try:
        entry = plugins.dataset(data.dataset, WHERE).entry
    except UserError as error:
        return list(error.problems)
    if None not in (entry.num_classes, data.num_classes) and entry.num_classes != data.num_classes:
        message = f"{data.dataset} has {entry.num_classes} classes"
        return [Problem("data.num_classes", message, data.num_classes, hint="leave it out")]
    return []


def _of_timm(name: str, prefix: str, rest: str) -> list[Problem]:
    if prefix == "torch":
        known = installed.torch_datasets()
        if known is not None and rest.rpartition("/")[2].lower() not in known:
            names = sorted(f"torch/{item}" for item in known)
            message = "timm's factory has no such dataset of torchvision"
            return [Problem(WHERE, message, name, ", ".join(names), nearest(name, names))]
    elif not rest and prefix != "wds":
        return [Problem(WHERE, f"a dataset's name is missing behind '{prefix}/'", name)]
    return []


def _unknown(name: str, paths: list[str], plugins: Plugins) -> Problem:
    looks_like_path = (
        name.startswith((".", "~"))
        or os.path.isabs(name)  # noqa: PTH117  # pathlib and the rest of this package read it alike
        or name.lower().endswith((*TARS, *_OTHER_ARCHIVES))
    )
    prefix = name.partition("/")[0]
    plugin_names = {info.name for info in plugins.infos} | {info.distribution for info in plugins.infos}
    if "/" in name and prefix not in plugin_names:
        looks_like_path = True
    looked = " or ".join(paths)
    if not looks_like_path:
        try:
            plugins.dataset(name, WHERE)
        except UserError as error:
            told = error.problems[0]
            near = told.nearest or missing(WHERE, name, paths[0], "").nearest
            allowed = told.allowed
            if allowed is not None:
                allowed = f"{allowed}; a folder or tar of images; {_prefixes()}"
            hints = [hint for hint in (told.hint, f"there is no folder or tar {looked} either") if hint]
            return dataclasses.replace(told, nearest=near, allowed=allowed, hint="\n    ".join(hints))
    problem = missing(WHERE, name, paths[0], "folder or tar")
    near_prefix = nearest(prefix, installed.dataset_prefixes()) if "/" in name else None
    near = problem.nearest or (f"{near_prefix}/{name.partition('/')[2]}" if near_prefix else None)
    message = f"there is no folder or tar {looked}"
    return dataclasses.replace(
        problem,
        message=message,
        nearest=near,
        allowed=f"a folder, a tar, a registered name, or {_prefixes()}",
    )


def _prefixes() -> str:
    return "a name of timm's behind " + ", ".join(
        f"{prefix}/" for prefix in sorted(installed.dataset_prefixes())
    )

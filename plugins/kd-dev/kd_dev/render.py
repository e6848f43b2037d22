"""`new_plugin`: the templates rendered into a new folder."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kd_dev.kinds import PLUGIN_KINDS
from kd_dev.names import KINDS, LICENSES, TEMPLATES, PluginNames, check_choice, choose_names
from kdcore import PLUGIN_API, Problem, UserError, __version__
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIX = ".jinja"
_DIGITS: Final = "scikit-learn>=1.6"  # it has the digits, on which the spec runs


@dataclass(frozen=True)
class NewPlugin:
    """A plugin that was made.

    Attributes:
        path: its folder.
        files: what is in it, relative to the folder.
        names: what its parts are called.
    """

    path: Path
    files: tuple[Path, ...]
    names: PluginNames


def new_plugin(
    name: str,
    *,
    kind: str,
    thing: str | None = None,
    features: bool = False,
    summary: str | None = None,
    license: str = "MIT",
    author: str | None = None,
    folder: Path | None = None,
) -> NewPlugin:
    """Make a complete package: code, tests that run kdcore's conformance checks, README, licence, CI and a spec.

    Args:
        name: of the distribution, such as 'kd-swd'; the package is called alike, with '_'.
        kind: one of `kd_dev.names.KINDS`, such as 'distiller' or 'report-section'.
        thing: what specs and commands call it; None: the name without 'kd-'.
        features: a distiller that reads feature maps, with a head of its own, instead of one that reads logits.
        summary: one line about it.
        license: 'MIT' or 'Apache-2.0'.
        author: of the licence; None: 'the authors of NAME'.
        folder: where the new folder is made; None: here.

    Raises:
        UserError: a name or text cannot be used, the folder is there already, or it cannot be written.
    """
    check_choice("--kind", kind, KINDS)
    check_choice("--license", license, LICENSES)
    if features and kind != "distiller":
        raise UserError(Problem("--features", f"a {kind} has none to read: this is for distillers"))
    if summary is not None and (not _is_line(summary) or '"' in summary or "\\" in summary):
        message = "must be one line of printable characters without quotation marks and backslashes"
        raise UserError(Problem("--summary", message, summary))
    if author is not None and not _is_line(author):
        raise UserError(Problem("--author", "must be one line of printable characters", author))
    names = choose_names(name, kind, thing, get_plugins())
    path = (folder or Path.cwd()) / names.distribution
    if path.exists():
        raise UserError(
            Problem(str(path), "is there already; nothing was written", hint="say another --directory")
        )
    about = PLUGIN_KINDS[kind]
    summary = summary or about.summary
    known = {"module": names.module, "file": names.file, "name": names.thing}
    values: dict[str, Any] = {
        "distribution": names.distribution,
        "module": names.module,
        "name": names.thing,
        "file": names.file,
        "cls": names.cls,
        "function": about.function.format(**known),
        "slug": names.thing,
        "term": names.file,
        "kind": about.title,
        "features": features,
        "summary": summary,
        "license": license,
        "author": author or f"the authors of {names.distribution}",
        "year": datetime.now(UTC).year,
        "kdcore": ".".join(__version__.split(".")[:2]),
        "plugin_api": PLUGIN_API,
        "requirements": about.requirements,
        "use": about.use.format(**known),
        "test_requirements": () if kind == "dataset" else (_DIGITS,),
        "has_options": about.options,
        "todo": "\n".join(f"{number}. {line.format(**known)}" for number, line in enumerate(about.todo, 1)),
    }
    files = _write(path, kind, values)
    return NewPlugin(path, files, names)


def _is_line(text: str) -> bool:
    """Whether a text is one line that can be printed."""
    return bool(text.strip()) and text.isprintable()


def _write(path: Path, kind: str, values: dict[str, Any]) -> tuple[Path, ...]:
    """All files or, where one cannot be written, none."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(  # noqa: S701  # Python and TOML, not HTML
        undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    files = []
    try:
        for source, target in _sources(kind, values):
            file = path / target
            file.parent.mkdir(parents=True, exist_ok=True)
            text = environment.from_string(source.read_text(encoding="utf-8")).render(values)
            file.write_text(text, encoding="utf-8")
            files.append(target)
    except BaseException as error:
        shutil.rmtree(path, ignore_errors=True)
        if isinstance(error, OSError):
            raise UserError(Problem(str(path), f"cannot be written: {error.strerror}")) from error
        raise
    return tuple(sorted(files))


def _sources(kind: str, values: dict[str, Any]) -> Iterator[tuple[Path, Path]]:
    """Templates and what they become."""
    roots = [TEMPLATES / "common", TEMPLATES / kind]
    if PLUGIN_KINDS[kind].small_run:
        roots.append(TEMPLATES / "small-run")
    if kind == "distiller":
        roots.append(TEMPLATES / ("distiller-features" if values["features"] else "distiller-logits"))
    for root in roots:
        for source in sorted(path for path in root.rglob(f"*{_SUFFIX}") if path.is_file()):
            name = source.relative_to(root).as_posix().removesuffix(_SUFFIX)
            if name.startswith("LICENSE."):
                if name != f"LICENSE.{values['license']}":
                    continue
                name = "LICENSE"
            name = name.replace("__module__", values["module"]).replace("__file__", values["file"])
            yield source, Path(name)

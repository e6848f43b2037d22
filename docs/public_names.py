"""Writes docs/reference/api.md and the stubs of kdcore, kdcore.plugin and kdcore.inspect; docs/generate.py calls it."""

from __future__ import annotations

import inspect
import re
import textwrap
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import kdcore
import kdcore.inspect
import kdcore.plugin

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH: Final = 110  # of a line of the stub, as ruff formats it
_ABOUT: Final = {
    "users": "For everybody who uses kd from Python. [In Python](../spec.md#in-python) says which function is which "
    "command.",
    "authors of plugins": "For plugins. Declarations (`hookimpl` and the `...Entry` records) import no torch. "
    "[Write a plugin](../plugins.md) explains them; what losses share is in `kdcore.ops`, and the conformance kit is "
    "`kd_dev.testing`.",
    "results": "What the functions for users return. You get them from a function; you do not make them.",
    "errors": "`UserError` says what is wrong in what you gave (exit code 2), `RunFailed` says why a run cannot go on "
    "(exit code 1). Both are a `KdError`.",
}
PACKAGES: Final = ("kd_compare", "kd_dev", "kd_export", "kd_init", "kd_report")
"""Those with functions for users, one for each command."""
_FROM_PACKAGES: Final = (
    "The functions of the commands that come from packages of their own, and what they return. Each package has the "
    "name of its distribution, with `_` for `-`."
)
_FOR_PLUGINS: Final = {
    "kdcore.plugin": "For the commands, exporters, sections and launchers of plugins: output, texts, files, and what "
    "other plugins declare. Importing it imports nothing heavy, and none of its names needs torch.",
    "kdcore.inspect": "For plugins that look at runs or start them: specs, a run opened again, its models, data and "
    "predictions. Most names import torch when they are first used.",
}
_CONSTANTS: Final = {  # what has no docstring of its own
    "Best": "The flag `--best` of a command: the weights of the best epoch.",
    "Ema": "The flag `--ema` of a command: the averaged weights.",
    "NEEDS": "What a distiller may need: a word of `DistillerEntry.needs`, and what it means.",
    "STAGES": "The numbers of the stages, from shallow to deep.",
    "HEAVY": "The modules that the entry module of a plugin must not import.",
    "JsonFlag": "The flag `--json` of a command.",
    "RunPath": "The argument RUN of a command: a run directory.",
    "Which": "Which of a run's students: `last`, `best` or `ema`.",
    "PLUGIN_API": "The version of the interface between kdcore and plugins.",
    "Stage": "A stage of a model: a number 1..4 or the path of a module.",
    "__version__": "The version of kdcore.",
    "hookimpl": "Marks a function of a plugin as the implementation of a hook.",
}


def page() -> str:
    """The names by group, each with the first sentence of its docstring."""
    lines = [
        "# Public names",
        "",
        "`import kdcore` has the names of the first groups, which say for whom they are. `kdcore.plugin` and",
        "`kdcore.inspect` have further names, for plugins. [Versions](../plugins/versions.md) says when they change.",
        "All other modules are internal, except `kdcore.ops` and `kd_dev.testing`, which are for authors of plugins.",
    ]
    for group, modules in kdcore.PUBLIC.items():
        names = sorted((name for names in modules.values() for name in names), key=_order)
        title = group if group in ("results", "errors") else f"for {group}"
        lines += [
            "",
            f"## {title.capitalize()}",
            "",
            textwrap.fill(_ABOUT[group], 120, break_on_hyphens=False),
            "",
        ]
        if group == "results":
            lines += ["| name | comes from | what it is |", "|---|---|---|"]
            lines += [
                f"| `{name}` | {_sources(name)} | {_first_sentence(name, _value(name))} |" for name in names
            ]
        else:
            lines += ["| name | what it is |", "|---|---|"]
            lines += [_row(name, _value(name)) for name in names]
    lines += [
        "",
        "## From other packages",
        "",
        textwrap.fill(_FROM_PACKAGES, 120, break_on_hyphens=False),
        "",
    ]
    lines += ["| name | what it is |", "|---|---|"]
    for package in PACKAGES:
        module = import_module(package)
        names = sorted(module.__all__, key=_order)
        lines += [_row(f"{package}.{name}", getattr(module, name)) for name in names]
    for module in (kdcore.plugin, kdcore.inspect):
        about = textwrap.fill(_FOR_PLUGINS[module.__name__], 120, break_on_hyphens=False)
        lines += [
            "",
            f"## For plugins: {module.__name__}",
            "",
            about,
            "",
            "| name | what it is |",
            "|---|---|",
        ]
        lines += [_row(name, getattr(module, name)) for name in sorted(module.__all__, key=_order)]
    return "\n".join(lines)


def _row(name: str, value: Any) -> str:
    called = f"{name}()" if inspect.isroutine(value) else name
    return f"| `{called}` | {_first_sentence(name, value)} |"


def _first_sentence(name: str, value: Any) -> str:
    if name in _CONSTANTS:
        return _CONSTANTS[name]
    text = (inspect.getdoc(value) or "").partition("\n\n")[0]
    return " ".join(text.split()).replace("|", "\\|")


def _sources(name: str) -> str:
    """What returns or holds a value of this type."""
    found = [
        source for source, types in returned().items() if name in types and not source.startswith(f"{name}.")
    ]
    # what a function returns says more than where else the type is found
    direct = [source for source in found if source.endswith("()") and "." not in source]
    return ", ".join(f"`{source}`" for source in direct or found)


def returned() -> dict[str, frozenset[str]]:
    """The names of types in what every public function and method returns, and in the fields of public classes."""
    found = {}
    for name in sorted(kdcore.__all__):
        value = _value(name)
        if inspect.isfunction(value):
            found[f"{name}()"] = _types(value.__annotations__.get("return", ""))
        elif inspect.isclass(value) and value.__module__.startswith("kdcore"):
            found |= _of_class(name, value)
    return found


def _of_class(name: str, cls: type) -> dict[str, frozenset[str]]:
    found = {}
    for member, value in vars(cls).items():
        function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        if inspect.isfunction(function) and (member == "__call__" or not member.startswith("_")):
            called = f"{name}.{member}" + "()" * (not isinstance(value, property))
            found[called] = _types(function.__annotations__.get("return", ""))
    fields = inspect.get_annotations(cls).items()
    return found | {f"{name}.{field}": _types(text) for field, text in fields if not field.startswith("_")}


def _types(annotation: object) -> frozenset[str]:
    return frozenset(
        re.findall(r"\b[A-Z]\w*", annotation if isinstance(annotation, str) else repr(annotation))
    )


def _value(name: str) -> Any:
    if name == "run":  # also the name of a package, which can be called
        from kdcore.run.run import run

        return run
    return getattr(kdcore, name)


def stubs() -> dict[str, str]:
    """What type checkers and editors read, by file: the same names as ordinary imports."""
    table = "dict[str, tuple[str, ...]]"
    return {
        "kdcore/__init__.pyi": _stub("PUBLIC", f"dict[str, {table}]", kdcore.PUBLIC.values(), kdcore.__all__),
        "kdcore/inspect/__init__.pyi": _stub("NAMES", table, [kdcore.inspect.NAMES], kdcore.inspect.__all__),
        "kdcore/plugin.pyi": _stub("NAMES", table, [kdcore.plugin.NAMES], kdcore.plugin.__all__),
    }


def _stub(
    constant: str, kind: str, tables: Iterable[dict[str, tuple[str, ...]]], exported: Iterable[str]
) -> str:
    by_module: dict[str, set[str]] = {}
    for table in tables:
        for module, names in table.items():
            by_module.setdefault(module, set()).update(names)
    lines = ["from typing import Final", ""]
    for module, found in sorted(by_module.items()):
        lines += _broken(f"from {module} import ", "(", sorted(found, key=_import_order), ")")
    quoted = [f'"{name}"' for name in sorted(exported, key=_order)]
    lines += ["", f"{constant}: Final[{kind}]", ""]
    lines += ["__all__ = [", *(f"    {name}," for name in quoted), "]", ""]
    return "\n".join(lines)


def _broken(start: str, opening: str, names: Iterable[str], closing: str) -> list[str]:
    line = start + ", ".join(names)
    if len(line) <= WIDTH:
        return [line]
    return [start + opening, *(f"    {name}," for name in names), closing]


def _import_order(name: str) -> tuple[int, str]:
    """As ruff sorts imports: the case of letters does not count."""
    return _order(name)[0], name.casefold()


def _order(name: str) -> tuple[int, str]:
    """Constants, classes, functions, as ruff sorts them."""
    if name.isupper():
        return 0, name
    return (1 if name[0].isupper() else 2), name

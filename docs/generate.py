"""Writes the files of `pages()` from the code: docs/reference, parts of others, a picture, stubs, conda/recipe.yaml.

    uv run python docs/generate.py [--check]

With `--check` it writes nothing. If a page differs from what the code says, it prints the page's name and the exit code
is 1.
"""

from __future__ import annotations

import json
import os.path
import runpy
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import method_pages
import public_names
import typer
from floors import picture

from kdcore.cli.app import application
from kdcore.cli.group import load_command
from kdcore.cli.recipes import json_by_sections
from kdcore.entries import AdapterEntry, DatasetEntry
from kdcore.plugins import Plugins, Provided, find_candidates
from kdcore.plugins.manager import warn_on_stderr
from kdcore.plugins.roles import ROLES
from kdcore.plugins.switches import CORE
from kdcore.spec.difference import MARK
from kdcore.spec.models import RunSpec
from kdcore.spec.recipes import recipes as all_recipes
from kdcore.spec.wording import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel

    from kdcore.spec.recipes import DistillerPart, RecipeSource

HERE: Final = Path(__file__).parent
COMMAND: Final = "uv run python docs/generate.py"
HAND_WRITTEN: Final = frozenset({"dot.md", "schemes.md"})  # pages in docs/methods that are not of a distiller
FIRST_PARTY: Final = frozenset(path.parent.name for path in HERE.parent.glob("plugins/*/pyproject.toml"))
_NOTE: Final = f"<!-- Written by `{COMMAND}`. Do not edit. -->\n"
_RULES: Final = f"<!-- The rules from here on are written by `{COMMAND}`. Do not edit them. -->\n"
_RECIPES: Final = f"<!-- From here on this is written by `{COMMAND}`. Do not edit it. -->\n"
_METHOD: Final = f"<!-- Written by `{COMMAND}`. Do not edit; the text of people is in {{}}. -->\n\n"
_WIDTH: Final = 80  # of the help texts
_RELEASE: Final = HERE.parent / ".ci" / "release.py"

Schema = dict[str, Any]


def pages() -> dict[str, str]:
    """The text of every generated page, by its path in docs/."""
    # other installed plugins do not belong into these pages
    own = [candidate for candidate in find_candidates() if candidate.distribution in FIRST_PARTY]
    plugins = Plugins.discover(own, disabled=(), strict=True)
    texts = {
        "api": public_names.page(),
        "commands": commands(plugins),
        "adapters": adapters(plugins.all(AdapterEntry)),
        "datasets": datasets(plugins.all(DatasetEntry)),
        "spec": spec(),
    }
    generated = {f"reference/{name}.md": f"{_NOTE}\n{text.strip()}\n" for name, text in texts.items()}
    methods = {
        f"methods/{name}.md": _METHOD.format(path) + text
        for name, (path, text) in method_pages.pages(plugins, _table, _options).items()
    }
    overview = method_pages.overview(plugins, _table)
    note = f"# Written by `{COMMAND}`. Do not edit.\n\n"
    stubs = {f"../{path}": note + text for path, text in public_names.stubs().items()}
    return (
        generated
        | methods
        | stubs
        | {
            "conformance.md": conformance(),
            "recipes.md": recipes(plugins),
            "methods/README.md": f"{_own_words('methods/README.md', _RECIPES)}\n{overview}",
            "floors.svg": picture(),
            "../kdcore/plugins/known.json": known(plugins),
            "../conda/recipe.yaml": runpy.run_path(str(_RELEASE))["recipe"](_RELEASE.parents[1]),
        }
    )


def stale() -> list[str]:
    """The pages that are missing, or that differ from what the code says."""
    return [
        name
        for name, text in pages().items()
        if not (HERE / name).is_file() or (HERE / name).read_text("utf-8") != text
    ]


def known(plugins: Plugins) -> str:
    """The index of names by package, of everything but the core."""
    index: dict[str, dict[str, list[str]]] = {}
    for kind, role in ROLES.items():
        for item in plugins.all(kind):
            if item.plugin.name != CORE:
                names = index.setdefault(role.name, {}).setdefault(item.plugin.distribution, [])
                names.append(item.entry.name)
    return json.dumps(index, indent=2) + "\n"


def commands(plugins: Plugins) -> str:
    """The help of every command."""
    group: Any = typer.main.get_command(application())
    group.plugins = plugins
    parent = group.make_context("kd", [], resilient_parsing=True, terminal_width=_WIDTH)
    lines = [
        "# Commands",
        "",
        "The help of `kd` and of each of its commands. See also [the run spec](../spec.md).",
    ]
    lines += ["", _code(group.get_help(parent))]
    for name in group.list_commands(parent):
        command = load_command(name, plugins)
        context = command.make_context(name, [], parent=parent, resilient_parsing=True, terminal_width=_WIDTH)
        lines += ["", f"## kd {name}", "", _code(command.get_help(context))]
    return "\n".join(lines)


def adapters(found: Iterable[Provided[AdapterEntry]]) -> str:
    """All feature adapters and the model classes that they serve."""
    rows = [
        [
            f"`{item.entry.name}`",
            item.plugin.name,
            item.entry.summary,
            ", ".join(f"`{model}`" for model in item.entry.models) or "any other",
        ]
        for item in found
    ]
    return "\n".join(
        [
            "# Feature adapters",
            "",
            "kd finds a model's adapter by the model's class; the adapter for the most specific class comes first. A",
            "spec can name another adapter as `student.adapter` or `teacher.adapter`. `kd list-adapters` prints this",
            "list.",
            "",
            *_table(["name", "plugin", "summary", "model classes"], rows),
        ]
    )


def datasets(found: Iterable[Provided[DatasetEntry]]) -> str:
    """All registered datasets, and the other names that a spec can give."""
    from kdcore.spec.timm_datasets import KINDS as PREFIXES

    rows = [
        [f"`{item.entry.name}`", _literal(item.entry.num_classes), item.plugin.name, item.entry.summary]
        for item in found
    ]
    others = [
        [f"`{prefix}/...`", f"`pip install {kind.pip}`" if kind.pip else "nothing else", _yes(kind.stream)]
        for prefix, kind in PREFIXES.items()
    ]
    return "\n".join(
        [
            "# Datasets",
            "",
            "The registered datasets, for `data.dataset`. `kd list-datasets` prints the same list.",
            "",
            *_table(["name", "classes", "plugin", "summary"], rows),
            "",
            "`data.dataset` can also be [a folder or an archive of images](../spec.md#data),",
            "[a folder of shards](../data.md#shards), or a name of timm's dataset factory. A stream has no sample",
            "positions. So it does not work with `data.train_samples`, or with",
            "a distiller that has a memory of the training set.",
            "",
            *_table(["name", "needs", "stream"], others),
        ]
    )


def spec() -> str:
    """Every field of a run spec."""
    schema = RunSpec.model_json_schema()
    lines = [
        "# Fields of the run spec",
        "",
        "[The run spec](../spec.md) explains these fields. `kd schema` prints them as JSON Schema.",
    ]
    for title, rows in _sections(schema):
        lines += ["", f"## {title}", "", *_table(["field", "allowed", "default", "meaning"], rows)]
    return "\n".join(lines)


def conformance() -> str:
    """The text of docs/conformance.md that people write, and below it the rules of the conformance kit."""
    from kd_dev.testing.rules import RULES

    lines = [_own_words("conformance.md", _RULES)]
    for kind, rules in RULES.items():
        lines += ["", f"## Rules for {'feature ' * (kind == 'adapter')}{kind}s"]
        for rule in rules:
            lines += ["", f"### {rule.heading}", "", f"**{rule.summary}**"]
            lines += ["", _wrapped(rule.why), "", _wrapped(f"To fix it: {rule.fix}")]
    return "\n".join(lines) + "\n"


def recipes(plugins: Plugins) -> str:
    """The text of docs/recipes.md that people write, and below it each recipe with its values and their sources."""
    found = all_recipes(plugins, warn_on_stderr)
    rows = [[f"[`{item.name}`](#{item.name})", item.use, item.plugin.name, item.summary] for item in found]
    lines = [_own_words("recipes.md", _RECIPES), *_table(["name", "for", "plugin", "summary"], rows)]
    for item in found:
        lines += ["", f"## {item.name}", "", item.summary, ""]
        lines += [f"- {_linked(source)}" for source in item.sources]
        lines += ["", "```jsonc", json_by_sections(item.spec), "```"]
        if item.distillers:
            parts = [
                [
                    f"`{name}`",
                    ", ".join(f"`{key}` {_literal(value)}" for key, value in _leaves(part)),
                    _from(part.source),
                ]
                for name, part in item.distillers.items()
            ]
            lines += ["", *_table(["with distiller", "also", "from"], parts)]
    return "\n".join(lines) + "\n"


def _leaves(part: DistillerPart) -> Iterator[tuple[str, Any]]:
    yield from part.options.items()
    for section, values in part.spec.items():
        yield from ((f"{section}.{key}", value) for key, value in values.items())


def _linked(source: RecipeSource) -> str:
    return f"[{source.title}]({source.url}): {', '.join(f'`{file}`' for file in source.files)}"


def _from(source: str) -> str:
    repository, _, rest = source.partition(" ")
    return f"{repository}: {rest}"


def _own_words(name: str, mark: str) -> str:
    """The part of a page that people write, and the mark between it and the generated part."""
    own, found, _ = (Path(__file__).parent / name).read_text("utf-8").partition(mark)
    return own + found


def _sections(schema: Schema) -> Iterator[tuple[str, list[list[str]]]]:
    """The whole spec, and then each section in it, with a row for each field."""
    waiting: list[tuple[str, Schema]] = [("", schema)]
    while waiting:
        path, node = waiting.pop(0)
        rows = []
        inner: list[tuple[str, Schema]] = []
        for name, about in node["properties"].items():
            where = f"{path}.{name}" if path else name
            section = _section(schema, about)
            if section is None:
                rows.append(_row(schema, where, about, required=name in node.get("required", ())))
                continue
            inner.append((where, section))
            anchor = where.replace(".", "")
            optional = ", or null" if "anyOf" in about else ""
            empty = optional or "type" in about
            default = "required" if name in node.get("required", ()) else "`null`" if empty else ""
            meaning = (
                about.get("description") or section["description"]
            )  # pydantic leaves out what is the same
            allowed = about.get("x-words", f"an object{optional}")
            rows.append([f"[`{where}`](#{anchor})", allowed, default, meaning])
        waiting = inner + waiting
        yield path or "The whole", rows


def _section(root: Schema, about: Schema) -> Schema | None:
    """The section that a field holds, or None if it holds a value."""
    if about.get("type") == "array" and "$ref" in about.get("items", {}):
        several: Schema = root["$defs"][about["items"]["$ref"].rpartition("/")[2]]
        # one teacher stands without a list; distillers take keys of their own
        return several if several.get("additionalProperties") is False else None
    for branch in about.get("anyOf", [about]):
        if "$ref" in branch and "x-words" not in about:
            found: Schema = root["$defs"][branch["$ref"].rpartition("/")[2]]
            return found if "properties" in found else None
    return None


def _options(model: type[BaseModel]) -> list[list[str]]:
    schema = model.model_json_schema()
    required = schema.get("required", ())
    return [_row(schema, name, about, name in required) for name, about in schema["properties"].items()]


def _row(root: Schema, name: str, about: Schema, required: bool) -> list[str]:
    default = "required" if required else f"`{_literal(about.get('default', {}))}`"
    same = " Does not change the results." if about.get(MARK, True) is False else ""
    return [f"`{name}`", words(root, about), default, about.get("description", "") + same]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *escaped)]


def _literal(value: Any) -> str:
    return json.dumps(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _wrapped(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120, break_long_words=False, break_on_hyphens=False)


def _code(text: str) -> str:
    return f"```text\n{text.strip()}\n```"


def main(arguments: Sequence[str]) -> int:
    """Write the pages, or check them; returns the exit code."""
    if list(arguments) not in ([], ["--check"]):
        print(f"usage: {COMMAND} [--check]", file=sys.stderr)
        return 2
    if arguments:
        old = stale()
        for name in old:
            print(f"{os.path.normpath(f'docs/{name}')} is not up to date; run: {COMMAND}", file=sys.stderr)
        return 1 if old else 0
    try:
        texts = pages()
    except method_pages.PageErrors as errors:
        print(errors, file=sys.stderr)
        return 1
    for old in HERE.glob("methods/*.md"):
        if f"methods/{old.name}" not in texts and old.name not in HAND_WRITTEN:
            old.unlink()  # of a distiller that is gone
    for name, text in texts.items():
        path = HERE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Writes docs/methods, a page for each distiller; docs/generate.py calls it.

A page is made of the distiller's entry, its options, the settings of papers, and the text that people write:
`plugins/PACKAGE/pages/NAME.md`, or docs/pages/NAME.md for the core.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from kdcore.commands.show.show import example
from kdcore.entries import KINDS, NEEDS, DistillerEntry
from kdcore.plugins.switches import CORE
from kdcore.spec.recipes import paper_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pydantic import BaseModel

    from kdcore.plugins import Plugins, Provided
    from kdcore.spec.recipes import PaperSettings

    Table = Callable[[Sequence[str], Sequence[Sequence[str]]], list[str]]

ROOT: Final = Path(__file__).parents[1]
HEADINGS: Final = ("Idea", "Formula", "Published results", "Paper and code", "Related methods")
"""What people write, in this order; every page has all of them."""
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_FENCE: Final = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_RELATED: Final = re.compile(r"^- `([\w.-]+)`: \S", re.MULTILINE)
_RELATIVE: Final = re.compile(r"\]\((?!https?://)([^)]*)\)")
_KIND_TITLES: Final = {
    "logit": "Logit methods",
    "feature": "Feature methods",
    "relation": "Relations between samples",
    "contrastive": "Contrastive methods",
    "embedding": "Embeddings and encoders",
    "heterogeneous": "Other families",
    "mutual": "Networks that learn from each other",
    "self": "Without a teacher",
    "baseline": "Baselines",
}


class PageErrors(Exception):
    """What is wrong with the texts that people write, a line for each."""


def source(item: Provided[DistillerEntry]) -> Path:
    """The file of a distiller that people write."""
    package = item.plugin.distribution
    folder = ROOT / "docs" if package == CORE else ROOT / "plugins" / package
    return folder / "pages" / f"{item.entry.name}.md"


def faults(text: str, known: Sequence[str]) -> list[str]:
    """What is wrong with a text; `known` are the names that related methods may have."""
    found = []
    plain = _FENCE.sub("", text)
    headings = tuple(_HEADING.findall(plain))
    if headings != HEADINGS:
        found.append(f"its headings are {', '.join(headings) or 'none'}; they must be {', '.join(HEADINGS)}")
    if plain.partition("## ")[0].strip():
        found.append("it has text before its first heading")
    parts = _parts(text)
    found += [f"there is nothing under '## {name}'" for name, part in parts.items() if not part]
    if "$$" not in parts.get("Formula", "$$"):
        found.append("'## Formula' has no $$ formula $$")
    related = _RELATED.findall(parts.get("Related methods", ""))
    if "Related methods" in parts and not related:
        found.append("'## Related methods' has no line like '- `kd`: what it does differently'")
    found += [
        f"'## Related methods' names {name!r}, but no distiller has this name"
        for name in related
        if name not in known
    ]
    found += [
        f"the link {link!r} is not an https address: the text is part of another page"
        for link in _RELATIVE.findall(plain)
    ]
    return found


def pages(
    plugins: Plugins, table: Table, options: Callable[[type[BaseModel]], list[list[str]]]
) -> dict[str, tuple[str, str]]:
    """The file that people write and the text of each page, by its name; without the overview.

    Raises:
        PageErrors: a text is missing or wrong.
    """
    items = ordered(plugins)
    names = [item.entry.name for item in items]
    wrong = []
    texts = {}
    for item in items:
        path = source(item)
        where = path.relative_to(ROOT)
        if not path.exists():
            wrong.append(f"{where} is missing: every distiller has a page")
            continue
        text = path.read_text(encoding="utf-8")
        problems = faults(text, names)
        if item.entry.needs is None:
            problems.append("its DistillerEntry has no `needs`")
        wrong += [f"{where}: {problem}" for problem in problems]
        texts[item.entry.name] = text
    if wrong:
        raise PageErrors("\n".join(wrong))
    return {
        item.entry.name: (
            str(source(item).relative_to(ROOT)),
            _page(item, texts[item.entry.name], plugins, table, options),
        )
        for item in items
    }


def ordered(plugins: Plugins) -> list[Provided[DistillerEntry]]:
    """The distillers by kind, and then by name."""
    return sorted(
        plugins.all(DistillerEntry), key=lambda item: (KINDS.index(item.entry.kind), item.entry.name)
    )


def overview(plugins: Plugins, table: Table) -> str:
    """The generated part of docs/methods/README.md."""
    items = ordered(plugins)
    lines = ["## All methods", ""]
    for kind in dict.fromkeys(item.entry.kind for item in items):
        rows = [
            [f"[`{entry.name}`]({entry.name}.md)", _year(entry), entry.summary, ", ".join(entry.needs or ())]
            for entry in (item.entry for item in items)
            if entry.kind == kind
        ]
        lines += [f"### {_KIND_TITLES[kind]}", "", *table(["name", "year", "summary", "needs"], rows), ""]
    lines += [
        "## Needs",
        "",
        "What you must have for a method with its default options. The task loss needs labels too: if you have none,",
        "set `task.weight` to 0.",
        "",
        *table(["need", "what it means"], [[f"`{need}`", about] for need, about in NEEDS.items()]),
    ]
    return "\n".join(lines) + "\n"


def _page(
    item: Provided[DistillerEntry],
    text: str,
    plugins: Plugins,
    table: Table,
    options: Callable[[type[BaseModel]], list[list[str]]],
) -> str:
    entry, own = item.entry, _parts(text)
    model: Any = plugins.load_options(item, "docs")
    defaults = json.loads(model().model_dump_json())
    spec = json.dumps({"name": entry.name, **example(entry, defaults, entry.name)}, indent=2)
    related = re.sub(r"^- `([\w.-]+)`:", r"- [`\1`](\1.md):", own["Related methods"], flags=re.MULTILINE)
    lines = [f"# {entry.name}", "", entry.summary, "", *_facts(item, table)]
    lines += ["", "## Idea", "", own["Idea"], "", "## Formula", "", own["Formula"]]
    lines += ["", "## Options", "", *table(["option", "allowed", "default", "meaning"], options(model))]
    lines += _settings(paper_settings(item, "docs"), table)
    lines += ["", "## Published results", "", own["Published results"]]
    lines += ["", "## Paper and code", "", own["Paper and code"]]
    lines += [
        "",
        "## A spec to copy",
        "",
        f"`kd show {entry.name}` prints it too.",
        "",
        "```json",
        spec,
        "```",
    ]
    return "\n".join([*lines, "", "## Related methods", "", related]) + "\n"


def _facts(item: Provided[DistillerEntry], table: Table) -> list[str]:
    entry = item.entry
    rows = []
    if entry.paper is not None:
        rows.append(["paper", f"[{entry.paper.title}]({entry.paper.url}) ({entry.paper.year})"])
    rows.append(["kind", entry.kind])
    needs = [f"`{need}`: {NEEDS[need]}" for need in entry.needs or ()] or ["only images"]
    rows += [["" if number else "needs", need] for number, need in enumerate(needs)]
    rows.append(["weight of the task loss", f"{entry.task_weight:g}, unless the spec sets `task.weight`"])
    if entry.formula is not None:
        rows.append(["loss", f"`{entry.formula}`"])
    package = item.plugin.distribution
    rows.append(["package", package if package == CORE else f"`kd install {package}`"])
    return table(["", ""], rows)


def _settings(settings: PaperSettings, table: Table) -> list[str]:
    lines = []
    if settings.recipes or settings.pairs:
        lines += ["", "## Settings of papers"]
    if settings.recipes:
        rows = [
            [
                f"[`{name}`](../recipes.md#{name.rpartition('/')[2]})",
                _set(part.options, part.spec),
                part.source,
            ]
            for name, part in settings.recipes.items()
        ]
        lines += ["", "With a recipe, these values hold unless the spec has others:", ""]
        lines += table(["recipe", "sets", "from"], rows)
    if settings.pairs:
        rows = []
        for pair in settings.pairs:
            teachers, students = ", ".join(pair.teachers), ", ".join(pair.students)
            rows.append([teachers, students, pair.recipe or "any", _set(pair.options, {}), pair.source])
        lines += ["", "For these models, `kd init` writes the options into the spec:", ""]
        lines += table(["teacher", "student", "recipe", "options", "from"], rows)
    return lines


def _set(options: dict[str, Any], spec: dict[str, Any]) -> str:
    inner = {f"{section}.{key}": value for section, values in spec.items() for key, value in values.items()}
    return ", ".join(f"`{key}` {json.dumps(value)}" for key, value in {**options, **inner}.items())


def _parts(text: str) -> dict[str, str]:
    """The text under each heading."""
    _, *rest = re.split(_HEADING, text)
    return {name: part.strip() for name, part in zip(rest[::2], rest[1::2], strict=True)}


def _year(entry: DistillerEntry) -> str:
    return "" if entry.paper is None else f"[{entry.paper.year}]({entry.paper.url})"

"""The lines of a draft as JSON, TOML or YAML; the last two with comments."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kd_init.draft import DraftLine


def written(lines: Sequence[DraftLine], suffix: str) -> str:
    """The text of a spec's file whose name ends in `suffix`."""
    if suffix == ".toml":
        return _toml(lines)
    return json.dumps(as_dict(lines), indent=2) + "\n" if suffix == ".json" else _yaml(lines)


def as_dict(lines: Iterable[DraftLine]) -> dict[str, Any]:
    """The spec that consists of the lines."""
    spec: dict[str, Any] = {}
    for line in lines:
        node = spec
        for step in line.path[:-1]:
            node = node.setdefault(step, {})
        node[line.path[-1]] = line.value
    return spec


def _toml(lines: Sequence[DraftLine]) -> str:
    top = [line for line in lines if len(line.path) == 1]
    blocks = (
        [_aligned([(f"{line.path[0]} = {json.dumps(line.value)}", line.comment) for line in top])]
        if top
        else []
    )
    for section, members in groupby(
        (line for line in lines if len(line.path) > 1), lambda line: line.path[:-1]
    ):
        rows = [
            (f"{line.path[-1]} = {json.dumps(line.value, ensure_ascii=False)}", line.comment)
            for line in members
        ]
        blocks.append(f"[{'.'.join(section)}]\n{_aligned(rows)}")
    return "\n\n".join(blocks) + "\n"


def _yaml(lines: Sequence[DraftLine]) -> str:
    rows: list[tuple[str, str]] = []
    for section, members in groupby(lines, lambda line: line.path[:-1]):
        indent = "  " * len(section)
        rows += [(f"{'  ' * depth}{step}:", "") for depth, step in enumerate(section)]
        # JSON's values are YAML's, too
        rows += [
            (f"{indent}{line.path[-1]}: {json.dumps(line.value, ensure_ascii=False)}", line.comment)
            for line in members
        ]
    return _aligned(rows) + "\n"


def _aligned(rows: Sequence[tuple[str, str]]) -> str:
    width = max((len(text) for text, comment in rows if comment), default=0)
    return "\n".join(f"{text:<{width}}  # {comment}" if comment else text for text, comment in rows)

"""docs/pairs.md from the data of docs/pairs.json."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from distiller_pairs.specs import BATCH, EPOCHS, PAIRS, SIDE, TRAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COMMAND: Final = "uv run python docs/pairs.py"
_SIGNS: Final = {"trained": "✓", "refused": "no", "too large": "too large,", "failed": "failed"}
_TEXT: Final = """\
<!-- Written by `{command}`. Do not edit. -->

# Which methods accept which pair

Every distiller with its default options was trained on five pairs of teacher and student: {epochs} epochs of {train}
digits at {side} px, batch size {batch}, models without pretrained weights. That shows what runs, not what a method is
worth.

✓: it trained, and all losses were finite. no: kd refused the pair before training; the reasons are below. A cell with
*heads* shows how many parameters the method adds.

```bash
{command}            # all again; continues an interrupted run
{command} --help
```

Made with {versions}. [pairs.json](pairs.json) has the losses and the reason of each refusal.

{table}

## Totals

{totals}

## Why a pair is refused, and what is unusual

{reasons}
"""


def page(data: Mapping[str, Any]) -> str:
    """The page's text."""
    runs: dict[str, dict[str, Any]] = data["runs"]
    titles = [pair.title for pair in PAIRS]
    return _TEXT.format(
        command=COMMAND,
        epochs=EPOCHS,
        train=TRAIN,
        side=SIDE,
        batch=BATCH,
        versions=", ".join(f"{name} {version}" for name, version in data["versions"].items()),
        table="\n".join(_table(runs, titles)),
        totals="\n".join(_totals(runs, titles)),
        reasons="\n".join(_reasons(runs, titles)) or "None.",
    )


def _table(runs: Mapping[str, Mapping[str, Any]], titles: list[str]) -> Iterator[str]:
    yield f"| method | {' | '.join(titles)} |"
    yield f"|{' --- |' * (len(titles) + 1)}"
    for method in sorted(runs):
        yield f"| [`{method}`](methods/{method}.md) | {' | '.join(_cell(runs[method].get(one)) for one in titles)} |"


def _cell(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    heads = f" heads {record['heads']:,}" if record.get("heads") else ""
    return f"{_SIGNS[record['status']]}{heads}"


def _totals(runs: Mapping[str, Mapping[str, Any]], titles: list[str]) -> Iterator[str]:
    yield f"| pair | {' | '.join(_SIGNS)} |"
    yield f"|{' --- |' * (len(_SIGNS) + 1)}"
    for title in titles:
        found = [records[title]["status"] for records in runs.values() if title in records]
        yield f"| {title} | {' | '.join(str(found.count(status)) for status in _SIGNS)} |"


def _reasons(runs: Mapping[str, Mapping[str, Any]], titles: list[str]) -> Iterator[str]:
    """For each method and reason, the pairs."""
    for method in sorted(runs):
        pairs: dict[str, list[str]] = defaultdict(list)
        for title in titles:
            record = runs[method].get(title, {})
            if "reason" in record or "note" in record:
                pairs[record.get("reason") or f"{record['note']} (it trained)"].append(title)
        for reason, which in pairs.items():
            yield f"- `{method}`, {'; '.join(which)}: {reason}"

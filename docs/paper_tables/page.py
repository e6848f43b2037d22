"""docs/results/papers.md from the published numbers and the records."""

from __future__ import annotations

from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from paper_tables.published import Pair, Published, Row, Section

Data = dict[str, Any]

COLUMNS: Final = ("method", "published", "kd", "difference", "kd, best epoch", "seeds", "source")
_TEXT: Final = """\
<!-- Written by `uv run python docs/papers.py`. Do not edit. -->

# The tables of the papers

Settings with which kd would repeat tables of RepDistiller, DKD, DIST, OFA and DeiT, and the published numbers next to a
column for yours. {state} They need GPUs: a row at 32 px takes hours, a row on ImageNet takes days. CI checks the spec
of every row, and builds networks of each kind with the heads of all methods, on stand-in images.

```console
$ uv sync && uv pip install ./examples/plugins/kd-cifar-models
$ kd compare examples/papers/cifar100/resnet56-to-resnet20.toml --only crd    # one row; its teacher is trained first
$ kd compare examples/papers/cifar100/resnet56-to-resnet20.toml               # all rows of the pair
$ uv run python docs/papers.py runs/papers/compare-cifar100-resnet56-to-resnet20
```

The last command takes the finished runs into [papers.json](papers.json) and writes this page again. It refuses a run
whose spec is not that of the row. Other seeds, other places of the images, `train.precision`, `train.compile` and
`train.channels_last` are allowed; a row says if one of the last three was changed.

**published**: top-1 in percent, from the source in the last column. **kd**: top-1 after the last epoch, mean and
standard deviation over the seeds. **kd, best epoch**: the mean of the best epochs, chosen on the test images, as
RepDistiller and mdistiller print them. The *teacher* is the one that kd has trained or loaded. A row without a
published number has none in the sources that were read.

{sections}

## Sources

{sources}
"""


def page(published: Published, records: Mapping[str, Any]) -> str:
    """The page's text."""
    runs = sum(len(seeds) for rows in records.values() for seeds in rows.values())
    return _TEXT.format(
        state=f"{runs:,} runs are recorded." if runs else "No run is recorded yet.",
        sections="\n\n".join("\n".join(_section(section, records)) for section in published.sections),
        sources="\n".join(
            f"- `{name}`: [{source.title}]({source.url})" for name, source in published.sources.items()
        ),
    )


def _section(section: Section, records: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {section.title}\n"
    yield section.text.strip()
    if section.notes:
        yield "\nWhat differs from the authors' code:\n"
        yield from (f"- {note}" for note in section.notes)
    for pair in section.pairs:
        yield f"\n### {pair.title}\n"
        yield f"`kd compare examples/papers/{pair.file}`\n"
        yield from _table(pair, records.get(pair.name, {}))


def _table(pair: Pair, records: Mapping[str, Any]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    yield _teacher(pair, records)
    for label, row in pair.rows.items():
        yield _row(label, row, records.get(label, {}))
    yield from _changes(records)


def _teacher(pair: Pair, records: Mapping[str, Any]) -> str:
    runs = [run for seeds in records.values() for run in seeds.values()]
    scores = {run["teacher_top1"] for run in runs if run["teacher_top1"] is not None}
    found = ", ".join(f"{score:.2f}" for score in sorted(scores))
    gap = f"{mean(scores) - pair.teacher:+.2f}" if scores and pair.teacher is not None else ""
    return f"| *teacher* | {_number(pair.teacher)} | {found} | {gap} | | | |"


def _row(label: str, row: Row, seeds: Mapping[str, Any]) -> str:
    scores, best = ([run[key] for run in seeds.values()] for key in ("top1", "best_top1"))
    deviation = f" ± {stdev(scores):.2f}" if len(scores) > 1 else ""
    found = f"{mean(scores):.2f}{deviation}" if scores else ""
    gap = f"{mean(scores) - row.top1:+.2f}" if scores and row.top1 is not None else ""
    cells = (
        label,
        _number(row.top1),
        found,
        gap,
        f"{mean(best):.2f}" if best else "",
        str(len(scores) or ""),
        row.source or "",
    )
    return f"| {' | '.join(cells)} |"


def _changes(records: Mapping[str, Any]) -> Iterator[str]:
    changes = {
        f"`{label}`: " + ", ".join(f"`{place}` {value}" for place, value in run["changed"].items())
        for label, seeds in records.items()
        for run in seeds.values()
        if run["changed"]
    }
    if changes:
        yield "\nChanged: " + "; ".join(sorted(changes))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"

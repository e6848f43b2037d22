"""The part of docs/coverage.md about further feature methods: which models each accepts, and why it refuses others."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from timm_coverage.pair import HINTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from timm_coverage.shapes import Record

_REASONS: Final = 3  # of a method, the most frequent ones
_TEXT: Final = """\
## Further feature methods

{which} as the student of one teacher, with the methods that were made for this kind of teacher, in one
`kdcore.Distillation`: {models} by shapes{numbers}. A method can refuse a pair before training, with the reason;
*refused* counts these. `catkd` needs a classifier that reads the mean of the last map. It finds that out from values,
which a model on the meta device does not have, so by shapes it accepts more models than in a run.

{table}

The most frequent reasons; `N` stands for a number:

{reasons}
"""


def hints_part(tried: Mapping[str, Record], classes: Mapping[str, Record]) -> str:
    """The part's text; empty if nothing was tried."""
    shapes = {name: record["hints"] for name, record in tried.items() if "hints" in record}
    numbers = {record["model"]: record["hints"] for record in classes.values() if "hints" in record}
    if not shapes:
        return ""
    smallest = {record["model"] for record in classes.values()}
    which = "The smallest classifiers of classes were" if smallest.issuperset(shapes) else "Classifiers were"
    with_numbers = f", and with numbers the smallest one of {_share(len(numbers), len(classes))} classes"
    return "\n" + _TEXT.format(
        which=f"{which if len(shapes) < len(tried) else 'Each classifier was'} also tried",
        models=_share(len(shapes), len(tried)),
        numbers=with_numbers if numbers else "",
        table="\n".join(_table(shapes, numbers)),
        reasons="\n".join(_reasons(shapes)),
    )


def _share(found: int, count: int) -> str:
    return f"all {count}" if found == count else f"{found} of {count}"


def _table(shapes: Mapping[str, Record], numbers: Mapping[str, Record]) -> Iterator[str]:
    counted = ["models that work", "refused", "failed"]
    if numbers:
        counted += ["classes that work, with numbers", "refused", "failed"]
    yield f"| {' | '.join(['method', 'teacher', *counted])} |"
    yield f"|{' --- |' * (len(counted) + 2)}"
    for teacher, methods in HINTS.items():
        for method in methods:
            tables = [shapes, numbers] if numbers else [shapes]
            cells = [cell for records in tables for cell in _counts(records, method)]
            yield f"| `{method}` | `{teacher}` | {' | '.join(cells)} |"


def _counts(records: Mapping[str, Record], method: str) -> list[str]:
    refused, failed = (sum(method in one[key] for one in records.values()) for key in ("refused", "failed"))
    return [str(len(records) - refused - failed), str(refused), str(failed)]


def _reasons(shapes: Mapping[str, Record]) -> Iterator[str]:
    for methods in HINTS.values():
        for method in methods:
            found: Counter[str] = Counter()
            for name, record in shapes.items():
                for key in ("failed", "refused"):
                    if method in record[key]:
                        found[_general(record[key][method], name)] += 1
            for reason, count in found.most_common(_REASONS):
                yield f"- `{method}`, {count} models: {reason}"


def _general(reason: str, name: str) -> str:
    """A reason without what is of one model alone."""
    text = reason.split(" (distiller '")[0].replace(name, "the student")
    text = re.sub(r"^[\w-]+/[\w-]+ [\d.]+: ", "", text)
    text = re.sub(r"^\w+ has no module", "the student has no module", text)
    return re.sub(r"\d+", "N", text)

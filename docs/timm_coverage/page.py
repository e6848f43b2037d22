"""docs/coverage.md from the data of docs/coverage.json."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from timm_coverage.hints_page import hints_part
from timm_coverage.numbers import DROP_PATH_RATE, DROP_RATE
from timm_coverage.pair import BATCH, EMBEDDING_METHODS, ENCODER, METHODS, STUDENT, TEACHERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from timm_coverage.shapes import Record

COMMAND: Final = "uv run python docs/coverage.py"
YES: Final = "✓"
_EMBEDDING: Final = "embedding distillation from an encoder teacher"
_TEXT: Final = """\
<!-- Written by `{command}`. Do not edit. -->

# Which models work

Each model of `timm.list_models()` was tried as the student of a convolutional teacher ({conv}) and of a
transformer ({token}), with {methods} in one `kdcore.Distillation`. Each model has the input size that timm gives it;
the teachers have 224 px. {classifiers} of the {count} models are classifiers. Each was also tried as the student of an
encoder, {encoder} without its classifier, with {embedding}; those that never have a classifier were tried as such a
teacher of {student}.

```bash
{command}                    # all models again; continues an interrupted run
{command} --models 'swin*'   # some models again; the results of the others stay
{command} --help
```

Made with {versions}. [coverage.json](coverage.json) has a record for each model.

## Totals

**Shapes**: all models, on the meta device. The check builds the heads. One step in training mode gives logits
`[{batch}, K]` and scalar loss terms, and there is a path from the loss to the student's parameters.

{shapes}

**Numbers**: the smallest classifier of each of the {classes} classes, on the CPU, {batch} random images, dropout
{drop} and drop path {drop_path} if the constructor has these arguments. Norms, biases, layer scales and other
parameters with equal initial values were first set to unequal values, so that no zero hides a mistake. *Equal* means
bit-equal to `model(images)`; in training mode with the same seed and with dropout. *Reached* means that the parameter
has a gradient after the backward pass of all methods together.

{numbers}

## Classes

A method's column has {yes} if it works for all models of the class with both teachers, and also with numbers for the
smallest one. Otherwise it shows how many models work. The column *embedding distillation from an encoder teacher* is
about shapes only; it is empty if no model of the class was tried.

{table}
{hints}
## Exceptions

{exceptions}
"""


def page(data: Mapping[str, Any]) -> str:
    """The page's text."""
    models: dict[str, Record] = data["models"]
    tried = {name: record for name, record in models.items() if "excluded" not in record}
    versions = ", ".join(f"{name} {version}" for name, version in data["versions"].items())
    return _TEXT.format(
        command=COMMAND,
        conv=f"`{TEACHERS[0]}`",
        token=f"`{TEACHERS[1]}`",
        encoder=f"`{ENCODER}`",
        embedding=_listed(f"`{name}`" for name in EMBEDDING_METHODS),
        student=f"`{STUDENT}`",
        methods=_listed(f"`{name}`" for name in METHODS),
        classifiers=len(tried),
        count=len(models),
        versions=versions,
        batch=BATCH,
        classes=len(data["classes"]),
        drop=DROP_RATE,
        drop_path=DROP_PATH_RATE,
        yes=YES,
        shapes="\n".join(_shape_totals(tried)),
        numbers="\n".join(_number_totals(data["classes"])),
        table="\n".join(_classes(tried, data["classes"])),
        hints=hints_part(tried, data["classes"]),
        exceptions="\n".join(_exceptions(models, data["classes"])),
    )


def _shape_totals(tried: Mapping[str, Record]) -> list[str]:
    count = len(tried)
    rows = [
        [f"`{method}`", *(_share(_working(tried.values(), method, [one]), count) for one in TEACHERS)]
        for method in METHODS
    ]
    asked = [record["embedding"] is True for record in tried.values() if "embedding" in record]
    rows.append([_EMBEDDING, _share(sum(asked), len(asked)), ""])
    reached = sum("unreached" not in record for record in tried.values())
    rows.append(["every parameter reached", _share(reached, count), ""])
    return _table(["models that work", *(f"with `{name}`" for name in TEACHERS)], rows)


def _number_totals(classes: Mapping[str, Record]) -> list[str]:
    records, count = list(classes.values()), len(classes)
    rows = [
        ["logits equal, evaluation mode", sum(record["eval_equal"] for record in records)],
        ["logits equal, training mode with dropout", sum(record["train_equal"] for record in records)],
        ["all four methods, losses and gradients finite", sum(_sound(record) for record in records)],
        ["reached: all that the model's own logits reach", sum("lost" not in record for record in records)],
        ["reached: all parameters", sum("unreached" not in record for record in records)],
    ]
    return _table(["check", "classes"], [[name, _share(found, count)] for name, found in rows])


def _classes(tried: Mapping[str, Record], classes: Mapping[str, Record]) -> list[str]:
    members: dict[str, list[Record]] = defaultdict(list)
    for record in tried.values():
        members[record["class"]].append(record)
    rows = []
    for cls in sorted(members):
        smallest, count = classes[cls], len(members[cls])
        numbers_fail = smallest.get("failures", {})
        methods = [
            _tick(_working(members[cls], method, TEACHERS), count, method not in numbers_fail)
            for method in METHODS
        ]
        equal = [YES if smallest[key] else "no" for key in ("eval_equal", "train_equal")]
        unreached = len(smallest.get("unreached", ()))
        rows.append(
            [
                f"`{cls.removeprefix('timm.models.')}`",
                str(count),
                f"`{smallest['model']}`{'*' if 'options' in smallest else ''}",
                *methods,
                _taught(members[cls]),
                *equal,
                f"all but {unreached}" if unreached else "all",
            ]
        )
    head = ["class", "models", "smallest", *METHODS, _EMBEDDING, "equal, eval", "train", "reached"]
    return _table(head, rows)


def _taught(members: Sequence[Record]) -> str:
    """Whether an encoder teaches the models of a class; empty if that was not tried."""
    tried = [record["embedding"] is True for record in members if "embedding" in record]
    return _tick(sum(tried), len(tried), True) if tried else ""


def _exceptions(models: Mapping[str, Record], classes: Mapping[str, Record]) -> Iterator[str]:
    yield from _grouped(
        "Models without a classifier, as teachers by embeddings",
        {
            f"`{name}`": "works" if record["as_teacher"] is True else record["as_teacher"]
            for name, record in models.items()
            if "as_teacher" in record
        },
    )
    yield from _grouped(
        "Embedding distillation from an encoder teacher does not work",
        {
            f"`{name}`": record["embedding"]
            for name, record in models.items()
            if record.get("embedding", True) is not True
        },
    )
    failures = {
        f"`{name}`, {method}, {teacher}": why
        for name, record in [*models.items(), *((r["model"], r) for r in classes.values())]
        for method, by_teacher in record.get("failures", {}).items()
        for teacher, why in by_teacher.items()
    }
    yield from _grouped("A method does not work", failures)
    yield from _grouped(
        "Run on the CPU instead of the meta device, because the forward pass reads a tensor's value",
        {f"`{name}`": _built(record) for name, record in models.items() if "options" in record},
    )
    yield from _grouped(
        "\\* Made smaller for the check with numbers: image size and other options",
        {f"`{record['model']}`": _built(record) for record in classes.values() if "options" in record},
    )
    for title, records in (
        ("Parameters that the loss does not reach, by shapes", models),
        ("Parameters that the loss does not reach, by numbers", {r["model"]: r for r in classes.values()}),
    ):
        yield from _grouped(
            title,
            {f"`{name}`": _parameters(record) for name, record in records.items() if "unreached" in record},
        )


def _grouped(title: str, reasons: Mapping[str, str]) -> Iterator[str]:
    """A list item for each reason, with all that have it."""
    if not reasons:
        return
    yield f"{title}:\n"
    who: dict[str, list[str]] = defaultdict(list)
    for name, why in reasons.items():
        who[why].append(name)
    yield from (f"- {', '.join(names)}: {why}" for why, names in who.items())
    yield ""


def _parameters(record: Record) -> str:
    names: list[str] = record["unreached"]
    shown = ", ".join(f"`{name}`" for name in names[:3])
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    whose = "the model's own logits do" if "lost" in record else "nor do the model's own logits"
    return f"{shown}{more}; {whose}"


def _working(records: Iterable[Record], method: str, teachers: Sequence[str]) -> int:
    return sum(
        not any(one in record.get("failures", {}).get(method, {}) for one in teachers) for record in records
    )


def _sound(record: Record) -> bool:
    return record["finite"] and "failures" not in record


def _built(record: Record) -> str:
    options = (f"`{name}={value}`" for name, value in record["options"].items() if name != "img_size")
    return ", ".join([f"{record['image_size'][0]} px", *options])


def _tick(working: int, count: int, with_numbers: bool) -> str:
    return YES if working == count and with_numbers else f"{working} of {count}"


def _share(found: int, count: int) -> str:
    return f"{found} of {count}"


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]

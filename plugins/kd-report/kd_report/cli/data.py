"""`kd data`: look at the images of a spec before training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kdcore.plugin import (
    JsonFlag,
    Overrides,
    SpecPath,
    get_plugins,
    listed,
    print_json,
    say_all,
    stdout_for_the_result,
    warn_all,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kdcore.inspect import DataFacts, SplitFacts

_NAMED = 5  # sizes, classes or files in a line


def data(
    spec: SpecPath,
    overrides: Overrides = None,
    images: Annotated[
        int, typer.Option(min=0, metavar="N", help="Decode N images of each split; 0: all.")
    ] = 1000,
    stats: Annotated[
        bool,
        typer.Option(
            "--stats", help="Measure mean and deviation of the training images; decodes all of them."
        ),
    ] = False,
    page: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a page with training images as the student and each teacher will see them.",
            show_default=False,
        ),
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Look at the images of SPEC before training.

    Classes, counts, sizes, modes, broken and repeated files, and images that are in two splits.
    """
    from kdcore.inspect import data_facts, load_spec, sample_views

    with stdout_for_the_result():
        loaded = load_spec(spec, overrides=overrides or ())
        facts = data_facts(
            loaded.spec.data,
            get_plugins(),
            most=images or None,
            stats=stats,
            labels=loaded.spec.task.kind != "none",
        )
        if page is not None:
            from kd_report.data_page import data_page
            from kd_report.page import write_page

            found = data_page(loaded.spec.name, lines(facts), sample_views(loaded, get_plugins()))
            write_page(page, found, "--page")
    if as_json:
        print_json(facts.as_dict())
        return
    warn_all([note for split in facts.splits for note in split.notes])
    say_all([*lines(facts), *([] if page is None else [f"{'page':<9}{page}"])])


def lines(facts: DataFacts) -> list[str]:
    """The facts in lines for a terminal."""
    found = [line for split in facts.splits for line in _split(split)]
    for pair, names in facts.shared.items():
        here, there = pair.split(", ")
        found.append(f"{'both':<9}{len(names):,} {here} images are {there} images too: {_pairs(names)}")
    if facts.mean is not None and facts.std is not None:
        numbers = {
            "mean": [round(value, 4) for value in facts.mean],
            "std": [round(value, 4) for value in facts.std],
        }
        found.append(f'{"stats":<9}for the spec: "data": {json.dumps(numbers)}')
    return found


def _split(split: SplitFacts) -> Iterator[str]:
    name = f" '{split.name}'" if split.name else ""
    yield f"{split.role:<9}{split.images:,} images{name}, {_classes(split)}"
    if split.sizes:
        number = "all" if split.looked_at == split.images else f"{split.looked_at:,}"
        yield f"{'':<9}sizes of {number}: {_counted(split.sizes)}; modes: {_counted(split.modes)}"
    if split.turned:
        yield f"{'':<9}{split.turned:,} with an EXIF orientation, which is not applied: they stay as they are stored"
    if split.broken:
        first = "; ".join(f"{file}: {why}" for file, why in list(split.broken.items())[:_NAMED])
        yield f"{'':<9}{len(split.broken):,} cannot be used: {first}{_more(split.broken)}"
    if split.repeated:
        yield f"{'':<9}{len(split.repeated):,} have the content of another one: {_pairs(split.repeated)}"


def _classes(split: SplitFacts) -> str:
    if not split.classes:
        return "without labels"
    fewest, most = min(split.classes.values()), max(split.classes.values())
    each = f"{fewest:,} each" if fewest == most else f"{fewest:,} to {most:,} each"
    text = f"{len(split.classes):,} classes of {each}"
    if fewest != most:
        rare = [name for name, count in split.classes.items() if count == fewest]
        text += f" (fewest: {listed(rare, _NAMED)})"
    without = split.images - split.labelled
    return text + (f", {without:,} without a label" if without else "")


def _counted(values: Mapping[str, int]) -> str:
    first = ", ".join(f"{name} ({count:,})" for name, count in list(values.items())[:_NAMED])
    return first + _more(values)


def _pairs(names: Mapping[str, str]) -> str:
    return "; ".join(f"{here} = {there}" for here, there in list(names.items())[:_NAMED]) + _more(names)


def _more(values: Mapping[str, object]) -> str:
    return f" and {len(values) - _NAMED:,} more" if len(values) > _NAMED else ""

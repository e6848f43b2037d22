"""What to compare, from flags or from a comparison file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from kdcore import Problem, UserError
from kdcore.inspect import read_values, validated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ALL: Final = "all"
_LABEL: Final = r"^[A-Za-z0-9][A-Za-z0-9_.+=-]*$"
_SEEDS: Final = 3


@dataclass(frozen=True)
class Variant:
    """One method to compare: a spec's file and what is changed in it.

    Attributes:
        label: its name in the table; None: the distiller's name.
        spec: the file.
        overrides: `key.path=value`, after those that hold for all.
        distiller: the distiller's name, where it was chosen by its name alone.
    """

    label: str | None
    spec: Path
    overrides: tuple[str, ...] = ()
    distiller: str | None = None


@dataclass(frozen=True)
class Request:
    """A comparison as the user asked for it.

    Attributes:
        specs: the specs' files; with `distillers` or `variants` there is one.
        distillers: names; `all` alone is every one that is installed and works here. None: the spec's own.
        variants: of the comparison file.
        only: labels; the other methods are left out. None: all methods.
        seeds: those to run.
        name: of the comparison's folder; None: from the file.
        output: folder in which that is made; None: the spec's.
        overrides: `key.path=value` for all runs.
        baseline: label of the method that gains are relative to; None: the one without a teacher.
        budget: `auto` or rungs; None: no method is dropped.
        eta: with a budget, 1/eta of the methods continue.
        jobs: runs at a time; None: one, or one for each GPU.
        folder: in which the comparison's folder is made; None: the specs' output.
        base: folder that relative paths in the specs are relative to; None: each file's own.
        tuned: trials that each method gets before it is compared; None: it is not tuned.
        search: what they search, as for `kd tune`; empty: the numbers among the method's options.
        sampler_seed: of all these tunings.
        retry_failed: whether the values of their failed trials are trained again.
        reports: whether each finished run gets a report.
    """

    specs: tuple[Path, ...]
    distillers: tuple[str, ...] | None = None
    variants: tuple[Variant, ...] = ()
    only: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (0, 1, 2)
    name: str | None = None
    output: Path | None = None
    overrides: tuple[str, ...] = ()
    baseline: str | None = None
    budget: str | None = None
    eta: int = 3
    jobs: int | None = None
    folder: Path | None = None
    base: Path | None = None
    tuned: int | None = None
    search: Sequence[str] | Mapping[str, Any] = ()
    sampler_seed: int = 0
    retry_failed: bool = False
    reports: bool = False


class VariantSpec(BaseModel):
    """A method of a comparison file: a distiller with options, other changes to the spec, or both."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: str = Field(pattern=_LABEL, max_length=100, description="Its name in the table.")
    distiller: Any = Field(
        None, description="As in a spec: a name, an object of name and options, or a list."
    )
    set: dict[str, Any] = Field(
        default_factory=dict, description="Other values of the spec, such as {'train.epochs': 20}."
    )


class ComparisonFile(BaseModel):
    """A comparison file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    spec: str = Field(min_length=1, description="The base spec's file, relative to this one.")
    variants: list[VariantSpec] = Field(default_factory=list, description="Methods with options.")
    distillers: list[str] | str | None = Field(
        None, description="Methods by name, with their default options, or 'all'."
    )
    seeds: list[int] | int = Field(_SEEDS, description="The number of seeds (0, 1, ...), or the seeds.")
    name: str | None = Field(None, pattern=_LABEL, description="Name of the comparison's folder.")
    output: str | None = Field(None, min_length=1, description="Where it is made, relative to this file.")
    baseline: str | None = Field(None, description="Label of the method that gains are relative to.")
    budget: list[int] | str | None = Field(None, description="Rungs in epochs, or 'auto'.")
    eta: int = Field(3, ge=2, description="With a budget, 1/ETA of the methods continue.")
    tuned: int | None = Field(
        None, ge=1, description="Trials of a tuning of each method, before they are compared."
    )
    search: dict[str, Any] = Field(
        default_factory=dict, description="What these tunings search, as for 'kd tune', by place in the spec."
    )
    sampler_seed: int = Field(0, ge=0, description="Of these tunings.")
    reports: bool = Field(False, description="Whether each finished run gets a report.")

    @field_validator("seeds")
    @classmethod
    def _some(cls, value: list[int] | int) -> list[int] | int:
        seeds_of(value)
        return value


def is_comparison(path: Path) -> bool:
    """Whether a file is a comparison rather than a run spec: it names a spec.

    Raises:
        UserError: it cannot be read.
    """
    raw, _ = read_values(path)
    return "student" not in raw and ("spec" in raw or "variants" in raw)


def read_comparison(path: Path) -> Request:
    """What a comparison file asks for.

    Raises:
        UserError: with all its problems.
    """
    raw, wrong = read_values(path)
    if wrong:
        raise UserError(wrong)
    raw.pop("$schema", None)
    found = validated(ComparisonFile, raw, "a comparison")
    folder = path.absolute().parent
    spec = folder / found.spec
    if not spec.exists():
        raise UserError(Problem("spec", f"there is no file {spec}", found.spec))
    distillers = (found.distillers,) if isinstance(found.distillers, str) else found.distillers
    budget = found.budget
    return Request(
        specs=(spec,),
        distillers=None if distillers is None else tuple(distillers),
        variants=tuple(_variant(item, spec) for item in found.variants),
        seeds=seeds_of(found.seeds),
        name=found.name or path.stem,
        output=None if found.output is None else folder / found.output,
        baseline=found.baseline,
        budget=",".join(map(str, budget)) if isinstance(budget, list) else budget,
        eta=found.eta,
        tuned=found.tuned,
        search=found.search,
        sampler_seed=found.sampler_seed,
        reports=found.reports,
    )


def parse_seeds(text: str) -> tuple[int, ...]:
    """`3` is 0, 1 and 2; `0,5` is these two.

    Raises:
        UserError: it is neither.
    """
    try:
        numbers = [int(part) for part in text.rstrip(",").split(",")]
        return seeds_of(numbers if "," in text else numbers[0])
    except ValueError:
        allowed = "how many, such as 3, or which, such as 0,1,2 (a single one: 5,)"
        raise UserError(Problem("--seeds", "these are not seeds", text, allowed)) from None


def seeds_of(value: Sequence[int] | int) -> tuple[int, ...]:
    """Seeds from their number or themselves; raises ValueError for no seeds, or a seed twice."""
    seeds = tuple(range(value)) if isinstance(value, int) else tuple(value)
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError("there must be at least one seed, each 0 or more and different from the others")
    return seeds


def _variant(item: VariantSpec, spec: Path) -> Variant:
    changes = dict(item.set) if item.distiller is None else {"distiller": item.distiller, **item.set}
    return Variant(item.label, spec, tuple(f"{key}={json.dumps(value)}" for key, value in changes.items()))

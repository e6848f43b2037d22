"""What a user measured in their own training loop: its names and numbers, checked."""

from __future__ import annotations

import json
import math
import warnings
from typing import TYPE_CHECKING, Any

from kdcore.entries import MetricEntry
from kdcore.errors import Problem, UserError, listed, nearest
from kdcore.inspect.metrics import is_own
from kdcore.json_files import DamagedJson, parse_json
from kdcore.rundir.files import finite
from kdcore.rundir.shapes import RECORD
from kdcore.rundir.summary import MEASURES, is_percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from kdcore.plugins import Plugins
    from kdcore.spec.models import RunSpec


def check_metrics(given: Mapping[str, float] | None, spec: RunSpec, plugins: Plugins) -> dict[str, float]:
    """The measures of a student as numbers.

    Raises:
        UserError: with every name that kd does not know, and every number that cannot be a measure.
    """
    if not given:
        return {}
    own = {
        item.qualified if is_own(item.entry.name) else item.entry.name
        for item in plugins.all(MetricEntry)
        if spec.task.kind in item.entry.tasks
    }
    problems, found = [], {}
    for name, value in given.items():
        where = f"metrics.{name}"
        if not is_percent(str(name)) and name not in own:
            known = [*MEASURES, *own]
            close = "top1" if str(name).lower() in ("accuracy", "acc", "acc1") else nearest(name, known)
            problems.append(Problem(where, "kd has no measure of this name", None, listed(known, 40), close))
            continue
        number = _number(value)
        if number is None:
            problems.append(Problem(where, "it is not a finite number", value))
        elif is_percent(name) and not 0 <= number <= 100:
            problems.append(Problem(where, "it is in percent", number, "a number from 0 to 100"))
        else:
            found[name] = number
            _warn_of_fraction(where, name, number)
    if problems:
        raise UserError(problems)
    return found


def check_records(given: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The records of the epochs, in the shape of `metrics.jsonl`.

    Raises:
        UserError: one has another shape, or the epochs do not rise.
    """
    found: list[dict[str, Any]] = []
    before = 0
    for number, record in enumerate(given):
        where = f"records[{number}]"
        try:
            content: dict[str, Any] = parse_json(json.dumps(finite(dict(record))), RECORD)
        except DamagedJson as error:
            raise UserError(Problem(where, f"it is not a record of an epoch: {error}")) from error
        except (TypeError, ValueError) as error:
            raise UserError(Problem(where, f"its values must be numbers, texts or null: {error}")) from error
        if content["epoch"] <= before:
            message = "epochs start with 1, and each is later than the one before"
            raise UserError(Problem(f"{where}.epoch", message, content["epoch"]))
        problems = list(_beyond_percent(content, where))
        if problems:
            raise UserError(problems)
        before = content["epoch"]
        found.append(content)
    return found


def _beyond_percent(record: Mapping[str, Any], where: str) -> Iterator[Problem]:
    for part in ("train", "eval", "ema"):
        for name, value in (record.get(part) or {}).items():
            if is_percent(name) and value is not None and not 0 <= value <= 100:
                yield Problem(f"{where}.{part}.{name}", "it is in percent", value, "a number from 0 to 100")


def _number(value: Any) -> float | None:
    """A finite number, also of NumPy or as a tensor with one value; otherwise None."""
    if isinstance(value, bool | str):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return number if math.isfinite(number) else None


def _warn_of_fraction(where: str, name: str, number: float) -> None:
    if is_percent(name) and 0 < number <= 1:
        message = f"{where} is {number:g}: kd's measures are in percent; give 100 times a fraction"
        warnings.warn(message, UserWarning, stacklevel=4)

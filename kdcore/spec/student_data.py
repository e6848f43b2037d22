"""The data of a run as its student alone needs them, without the channels that only teachers see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.spec.channels import GREY, GREY_WEIGHTS

if TYPE_CHECKING:
    from kdcore.spec.models import RunSpec


def of_student(spec: RunSpec) -> RunSpec:
    """The spec with data that gives the channels that the student takes, in its order; grey is read as grey."""
    channels, data = spec.student.channels, spec.data
    if channels is None:
        return spec
    if channels == GREY:
        changes = {"channels": 1, "mean": _weighted(data.mean), "std": _weighted(data.std)}
    else:
        chosen = [int(one) for one in channels]
        files = data.bands or range(data.channels)
        changes = {
            "channels": len(chosen),
            "bands": tuple(files[one] for one in chosen),
            "mean": _picked(data.mean, chosen),
            "std": _picked(data.std, chosen),
        }
    return spec.model_copy(
        update={
            "data": data.model_copy(update=changes),
            "student": spec.student.model_copy(update={"channels": None}),
        }
    )


def _picked(values: tuple[float, ...] | None, chosen: list[int]) -> tuple[float, ...] | None:
    return values if values is None or len(values) == 1 else tuple(values[one] for one in chosen)


def _weighted(values: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if values is None or len(values) == 1:
        return values
    return (sum(weight * value for weight, value in zip(GREY_WEIGHTS, values, strict=True)),)

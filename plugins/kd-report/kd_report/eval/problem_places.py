"""Problems with a spec's fields, reported at the flags of `kd eval` that caused them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kdcore import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_report.eval.request import EvalRequest

_OPTIONS: Final = {"model.options.": "--option", "data.options.": "--table-option"}


@contextlib.contextmanager
def reported_at_flags(request: EvalRequest) -> Iterator[None]:
    """Change the place of each problem raised inside: a flag instead of a field, if there is such a flag."""
    model, images = request.model, request.images
    flags = {
        "data.dataset": "--data" if images.dataset is not None else None,
        "data.eval_split": "--split" if images.split is not None else None,
        "model.model": "TARGET" if model.name is None else "--model",
        "model.pretrained": "--pretrained",
        "model.checkpoint": "TARGET" if model.checkpoint == request.target else "--checkpoint",
        "model.small_input": "--small-input",
    }

    def flag(where: str) -> str:
        for start, name in _OPTIONS.items():
            if where.startswith(start) and (start != "data.options." or images.dataset is not None):
                return f"{name} {where.removeprefix(start)}"
        return flags.get(where) or where

    try:
        yield
    except UserError as error:
        raise UserError(replace(problem, where=flag(problem.where)) for problem in error.problems) from error

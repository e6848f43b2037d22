"""Broken images that a run skips: each is counted once, over epochs, processes and resumes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from accelerate.utils import gather_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from kdcore.data import EvalData, TrainData
    from kdcore.run.display import Display

_NAMED = 5  # images that a warning lists


class Skipped:
    """The positions of the broken images that were found."""

    def __init__(self, train: TrainData, evaluation: EvalData, display: Display) -> None:
        self._train_data, self._eval_data, self._display = train, evaluation, display
        self.train: set[int] = set()
        self.eval: set[int] = set()
        self._reported: dict[str, set[int]] = {"training": set(), "evaluation": set()}

    def settle(self) -> None:
        """At the end of an epoch, gather what all processes found and report new ones; all processes must call it."""
        self.eval |= self._eval_data.broken
        met: list[tuple[list[int], list[int]]] = gather_object([(sorted(self.train), sorted(self.eval))])
        for train, evaluation in met:
            self.train.update(train)
            self.eval.update(evaluation)
        self._report("training", self.train, self._train_data.name)
        self._report("evaluation", self.eval, self._eval_data.name)

    def _report(self, kind: str, found: Iterable[int], name: Callable[[int], str]) -> None:
        reported = self._reported[kind]
        new = sorted(set(found) - reported)
        if not new:
            return
        reported.update(new)
        names = ", ".join(name(position) for position in new[:_NAMED])
        more = f" and {len(new) - _NAMED} more" if len(new) > _NAMED else ""
        what = (
            f"{kind} image cannot be read and is"
            if len(new) == 1
            else f"{kind} images cannot be read and are"
        )
        self._display.warn(f"{len(new):,} {what} skipped: {names}{more}")

    def counts(self) -> dict[str, int]:
        """The counts for the summary."""
        return {"train": len(self.train), "eval": len(self.eval)}

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"train": sorted(self.train), "eval": sorted(self.eval)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore from a checkpoint; images that were reported before are not reported again."""
        self.train, self.eval = set(state["train"]), set(state["eval"])
        self._reported = {"training": set(self.train), "evaluation": set(self.eval)}

"""Which epoch is better: by `train.metric`, or by the first score that was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.inspect.encoder_measures import EncoderEvaluation
    from kdcore.run.evaluation import Evaluation


@dataclass(frozen=True)
class Ranking:
    """The scores of an epoch that are compared with those of others.

    Attributes:
        name: of the score that decides; None: there is none.
        scores: it, and those that are kept with it.
    """

    name: str | None
    scores: Mapping[str, float | None]

    @classmethod
    def of(cls, found: Evaluation | EncoderEvaluation, metric: str | None) -> Ranking:
        """The scores of an evaluation; `metric`: the one that decides, as `train.metric` in a spec."""
        if metric is not None:
            return cls(metric, {metric: found.as_dict().get(metric), **found.ranking})
        name = next((name for name, score in found.ranking.items() if score is not None), None)
        return cls(name, found.ranking)

    @property
    def score(self) -> float | None:
        """The score that decides; None if it was not measured."""
        return None if self.name is None else self.scores[self.name]

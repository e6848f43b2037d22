"""From a model's outputs to the rows of a table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kdcore import Problem, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kdcore import ImagePredictor, PredictedBatch

Row = dict[str, Any]
"""Path, class and probability, or labels, and what else was asked for, by column."""


@dataclass(frozen=True)
class Columns:
    """What is written about each image.

    Attributes:
        top: the number of classes, the most likely first; 0 for an encoder.
        probabilities: whether each class has a column with its probability.
        embedding: whether the embedding is written.
    """

    top: int = 1
    probabilities: bool = False
    embedding: bool = False

    def checked(self, predictor: ImagePredictor, embeds: bool) -> Columns:
        """The columns for a student.

        Raises:
            UserError: it does not have them.
        """
        if self.embedding and not embeds:
            message = "this export gives logits, and no embedding"
            raise UserError(Problem("--embedding", message, hint="give the run instead of the export"))
        if predictor.thresholds is not None:
            if self.top > 1:
                message = "an image gets any number of labels: each that is likely enough"
                hint = "--probabilities writes those of all labels"
                raise UserError(Problem("--top", message, self.top, "1", hint=hint))
            return self
        if predictor.num_classes:
            if self.top > predictor.num_classes:
                allowed = f"1 to {predictor.num_classes}"
                raise UserError(Problem("--top", "the student has fewer classes", self.top, allowed))
            return self
        if self.probabilities:
            predictor.require_classes()
        if not self.embedding:
            message = "the student is an encoder: it has no classes to predict"
            raise UserError(Problem("RUN", message, hint="--embedding writes its embeddings"))
        return Columns(top=0, embedding=True)

    def rows(self, batch: PredictedBatch, paths: Sequence[str], predictor: ImagePredictor) -> Iterator[Row]:
        """A row for each image of a batch that could be read."""
        names = [str(name) for name in predictor.classes_]
        logits, embedding = batch.outputs.logits, batch.outputs.embedding
        probabilities = None if logits is None else predictor.probabilities(logits)
        for number, position in enumerate(batch.position):
            row: Row = {"path": paths[position]}
            if probabilities is not None:
                own = probabilities[number]
                if predictor.thresholds is not None:
                    row["labels"] = [names[index] for index in np.flatnonzero(own > predictor.thresholds)]
                else:
                    for rank, index in enumerate((-own).argsort(kind="stable")[: self.top], 1):
                        mark = "" if rank == 1 else f"_{rank}"
                        row[f"class{mark}"], row[f"probability{mark}"] = names[index], float(own[index])
                if self.probabilities:
                    row["probabilities"] = dict(zip(names, own.tolist(), strict=True))
            if self.embedding:
                assert embedding is not None
                row["embedding"] = embedding[number].tolist()
            yield row

"""`predict`: the classes of images, by a run's student or an export, as rows of a table."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kd_export.prediction.listing import list_images
from kd_export.prediction.opening import open_predictor
from kd_export.prediction.organize import Organizer
from kd_export.prediction.rows import Columns
from kd_export.prediction.writers import open_writer
from kdcore import Problem, RunFailed, UserError
from kdcore.inspect import own_surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from kd_export.prediction.listing import Listed
    from kd_export.prediction.opening import Opened
    from kd_export.prediction.rows import Row
    from kdcore import PredictedBatch
    from kdcore.inspect import Which


@dataclass(frozen=True)
class PredictResult:
    """What was predicted.

    Attributes:
        output: the table; None: standard output.
        images: how many have a row.
        classes: images by predicted class or label, the most frequent first; empty for an encoder.
        broken: why each of the other images could not be read, by its path.
        organized: the folder with a copy of each image; None: not asked for.
        seconds: the time from the first image to the last.
        notes: what was left out, a line each.
    """

    output: Path | None
    images: int
    classes: dict[str, int]
    broken: dict[str, str]
    organized: Path | None
    seconds: float
    notes: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        paths = {
            name: None if (path := getattr(self, name)) is None else str(path)
            for name in ("output", "organized")
        }
        return {**self.__dict__, **paths, "notes": list(self.notes)}


@own_surroundings("kd_export.predict")
def predict(
    target: str | Path,
    images: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    column: str | None = None,
    root: str | Path | None = None,
    table_options: Mapping[str, Any] | None = None,
    weights: Which = "last",
    top: int = 1,
    probabilities: bool = False,
    embedding: bool = False,
    organize: str | Path | None = None,
    batch_size: int = 64,
    device: str = "cpu",
    force: bool = False,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> PredictResult:
    """Predict the class of each image, and write a table with a row for each.

    Images that cannot be read are left out of the table and reported in the result.

    Args:
        target: a run directory, or the folder of an export. An export runs its own `load.py`.
        images: files, folders (with everything below them), tables with a column of files, or "-" for paths on
            standard input.
        output: a `.csv`, `.jsonl` or `.parquet` file; None: CSV to standard output.
        column: the column of files in a table; None: `path`, `file`, `filename`, `file_name` or `image`.
        root: the folder that the paths in a table are relative to; None: that of the table.
        table_options: how a table is read, as `data.options` of a spec: `{"encoding": "cp1252"}`.
        weights: which of a run's students.
        top: the number of classes in a row, the most likely first.
        probabilities: add the probability of each class.
        embedding: add the embedding.
        organize: a new folder that gets a copy of each image, in a folder of its class.
        batch_size: images in one forward pass.
        device: where a run's student runs.
        force: replace an output that exists.
        advance: called after each batch with the images that are done and all images.

    Raises:
        UserError: an argument is wrong, or a file cannot be written.
        RunFailed: none of the images can be read, or the export cannot be used.
    """
    opened = open_predictor(target, weights, device)
    columns = Columns(top, probabilities, embedding).checked(opened.predictor, opened.embeds)
    if organize is not None and columns.top == 0:
        raise UserError(Problem("--organize", "the student is an encoder: it predicts no classes"))
    if organize is not None and opened.predictor.thresholds is not None:
        message = "an image gets any number of labels, so there is no one folder for it"
        raise UserError(Problem("--organize", message, hint="the table has the labels"))
    listed = list_images(images, column, root, table_options)
    path = None if output is None else Path(output)
    with open_writer(path, force=force) as writer:
        organizer = None if organize is None else Organizer(Path(organize))
        state = _Progress(opened, columns, listed)
        started = time.monotonic()
        for batch in opened.predictor.batches(
            listed.paths, embedding=columns.embedding, batch_size=batch_size
        ):
            rows = state.take(batch)
            writer.write(rows)
            if organizer is not None:
                for row, position in zip(rows, batch.position, strict=True):
                    organizer.take(row, listed.below[position])
            advance(state.done, len(listed.paths))
        if not state.images:
            first = next(iter(state.broken.items()))
            raise RunFailed(f"none of the {state.done} images can be read; {first[0]}: {first[1]}")
    return PredictResult(
        output=path,
        images=state.images,
        classes=dict(state.classes.most_common()),
        broken=state.broken,
        organized=None if organize is None else Path(organize),
        seconds=time.monotonic() - started,
        notes=listed.notes,
    )


class _Progress:
    """Counts over batches."""

    def __init__(self, opened: Opened, columns: Columns, listed: Listed) -> None:
        self._opened, self._columns, self._listed = opened, columns, listed
        self.images = self.done = 0
        self.classes: Counter[str] = Counter()
        self.broken: dict[str, str] = {}

    def take(self, batch: PredictedBatch) -> list[Row]:
        """The rows of a batch."""
        rows = list(self._columns.rows(batch, self._listed.paths, self._opened.predictor))
        self.images += len(rows)
        self.done += len(rows) + len(batch.broken)
        for row in rows:  # an encoder has no classes
            self.classes.update(
                row["labels"] if "labels" in row else [row["class"]] if "class" in row else []
            )
        self.broken |= {self._listed.paths[position]: why for position, why in batch.broken.items()}
        return rows

"""A table of outputs as a model that answers for the images of the data, whatever their pixels are."""

from __future__ import annotations

import copy
import csv
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import torch
from torch import Tensor, nn

from kd_teachers.outputs.columns import read_csv, read_parquet
from kd_teachers.outputs.npz import read_npz
from kd_teachers.outputs.table import BadTable, OutputsTable, checked_table
from kdcore import ModelDescription, ModelOutput, Problem, Stage, StageInfo, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLACE: Final = "options.path"


class OutputsModel(nn.Module):
    """The rows of a table `[N, K]`; kd finds those of its images with `find_samples`.

    It has no parameters. On the meta device its output has a shape and no values.

    Attributes:
        digest: SHA-256 of the file, as a buffer: kd knows the weights of a teacher by its tensors.
        chosen: the classes that it gives, after `keep_classes`; otherwise empty.
    """

    digest: Tensor
    chosen: Tensor
    kd_description: ModelDescription

    def __init__(self, table: OutputsTable) -> None:
        super().__init__()
        self._table = table
        self.register_buffer("digest", torch.tensor(list(table.sha256), dtype=torch.uint8, device="cpu"))
        self.register_buffer("chosen", torch.empty(0, dtype=torch.int64, device="cpu"))
        self._kept: Tensor | None = None

    def __len__(self) -> int:
        return len(self._table)

    def find_samples(self, names: Sequence[str]) -> Tensor | None:
        """The row of each name `[N]`, -1 if the table lacks it; None: the rows have no names, only numbers."""
        rows = self._table.rows
        return None if rows is None else torch.tensor([rows.get(name, -1) for name in names], device="cpu")

    def sample_names(self, rows: Sequence[int]) -> list[str]:
        """The names of some rows."""
        names = None if self._table.rows is None else list(self._table.rows)
        return [f"row {row}" if names is None else names[row] for row in rows]

    def sample_logits(self, rows: Tensor) -> Tensor:
        """The logits `[B, K]` of some rows, float32 on the CPU."""
        logits = self._table.logits(rows.numpy())
        return logits if self._kept is None else logits[:, self._kept]

    def keep_classes(self, rows: Tensor) -> None:
        """From now on give the logits of these classes `[K]`, in this order."""
        self._kept = rows
        self.chosen = rows.to(self.digest.device)

    def forward(self, images: Tensor) -> Tensor:
        """The shape of the output on the meta device.

        Raises:
            UserError: elsewhere: the table does not know these images.
        """
        if images.device.type != "meta":
            message = "a table of outputs has no output for any images but those of the run's data"
            raise UserError(Problem("teacher", message))
        width = self._table.num_classes if self._kept is None else len(self._kept)
        return images.new_empty((images.shape[0], width), dtype=torch.float32)

    def __deepcopy__(self, memo: dict[int, Any]) -> OutputsModel:
        """A copy with the same table, which nothing changes."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        memo[id(self._table)] = self._table
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


class OutputsAdapter:
    """A table has logits, and nothing else."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Raises UserError: it has no stages."""
        raise UserError(Problem("", "a table of outputs has no stages", hint="use a distiller of logits"))

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """The logits; raises UserError if more is asked for."""
        if stages:
            self.stages(model, (0, 0))
        if embedding:
            raise UserError(
                Problem("", "a table of outputs has no embedding", hint="use a distiller of logits")
            )
        return ModelOutput(model(images))


def build(
    num_classes: int,
    in_chans: int,
    *,
    path: str,
    values: Literal["logits", "probabilities"] | None = None,
    classes: tuple[str, ...] | None = None,
) -> nn.Module:
    """The table in a file; it is read and checked on the meta device too, once in a process.

    Args:
        num_classes: K.
        in_chans: channels of the images; of no importance.
        path: the file.
        values: what the numbers of a CSV or Parquet file are.
        classes: names of its classes; None: those in the file.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    if num_classes == 0:
        message = "a table of outputs has logits only, and without its classifier nothing is left"
        raise UserError(Problem("classifier", message, value=False, hint="leave it out"))
    file = Path(path)
    status = file.stat()
    table = _open(file, status.st_mtime_ns, status.st_size, values, classes)
    model = OutputsModel(table)
    model.kd_description = ModelDescription(
        has_weights=True,
        trainable=False,
        num_classes=table.num_classes,
        class_names=table.classes,
        place=_PLACE,
    )
    return model


@lru_cache(maxsize=4)
def _open(
    path: Path, modified: int, size: int, values: str | None, classes: tuple[str, ...] | None
) -> OutputsTable:
    """The table in a file; one that has not changed is opened once."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            arrays = read_npz(path)
        elif suffix == ".csv":
            arrays = read_csv(path, classes)
        elif suffix == ".parquet":
            arrays = read_parquet(path, classes)
        else:
            message = "a table of outputs has another ending"
            raise UserError(Problem(_PLACE, message, str(path), allowed=".npz, .csv, .parquet"))
        return checked_table(arrays, path, classes, values)
    except BadTable as error:
        raise UserError(Problem(_PLACE, f"this table cannot be used: {error}", str(path))) from error
    except UserError:
        raise
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, csv.Error) as error:
        raise UserError(Problem(_PLACE, f"the table cannot be read: {error}", str(path))) from error
    except Exception as error:
        if not type(error).__module__.startswith("pyarrow"):
            raise
        raise UserError(Problem(_PLACE, f"the table cannot be read: {error}", str(path))) from error

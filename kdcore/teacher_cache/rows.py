"""The content of one row of a cache, as fields of fixed shape and number format."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kdcore.features.references import parse_stage

if TYPE_CHECKING:
    from kdcore.protocols import Stage, StageInfo
    from kdcore.spec.models import TeacherCacheSpec

WIDTHS = {"float16": 2, "bfloat16": 2, "float32": 4, "int16": 2, "int32": 4}  # bytes per number


@dataclass(frozen=True)
class Rows:
    """The outputs of the teacher that the distillers read, for one augmentation of one sample.

    Attributes:
        num_classes: K of the logits; 0 for an encoder, which has none.
        embedding_dim: D of the embedding; None if it is not stored.
        stages: the stored feature maps, `[C, H, W]`, and `[P, C]` if there are prefix tokens.
        views: the number of views of each sample; with several, a row has the outputs of all of them.
    """

    num_classes: int
    embedding_dim: int | None
    stages: tuple[StageInfo, ...]
    views: int = 1


@dataclass(frozen=True)
class Field:
    """One array of a cache: a row has `shape` numbers of `dtype`, in the file `name`.bin."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        """The size of one row in bytes."""
        return math.prod(self.shape) * WIDTHS[self.dtype]

    @property
    def storage(self) -> np.dtype[np.generic]:
        """The numpy type on the disk, little-endian; bfloat16, which numpy does not have, is stored as its 16 bits."""
        return np.dtype(
            {"float16": "<f2", "bfloat16": "<u2", "float32": "<f4"}.get(self.dtype, self._integer)
        )

    @property
    def _integer(self) -> str:
        return "<i2" if self.dtype == "int16" else "<i4"


def fields(rows: Rows, settings: TeacherCacheSpec) -> tuple[Field, ...]:
    """The arrays of a cache, in the order of the row checksum."""
    found: list[Field] = []
    if rows.num_classes == 0:
        pass
    elif settings.top_k is None:
        found.append(Field("logits", (rows.num_classes,), settings.dtype))
    else:
        index = "int16" if rows.num_classes <= 2**15 else "int32"
        found.append(Field("top-logits", (settings.top_k,), settings.dtype))
        found.append(Field("top-classes", (settings.top_k,), index))
        found.append(Field("rest", (1,), "float32"))
    if rows.embedding_dim is not None:
        found.append(Field("embedding", (rows.embedding_dim,), settings.dtype))
    for info in rows.stages:
        name = stage_name(info.stage)
        found.append(Field(f"map-{name}", (info.channels, *info.grid), settings.dtype))
        if info.prefix_tokens:
            found.append(Field(f"prefix-{name}", (info.prefix_tokens, info.channels), settings.dtype))
    if rows.views > 1:
        found = [replace(field, shape=(rows.views, *field.shape)) for field in found]
    return tuple(found)


def stage_name(stage: Stage) -> str:
    """The name of a stage in file names; module paths contain only letters, digits, '_' and '.'."""
    if isinstance(stage, int):
        return f"stage{stage}"
    reference = parse_stage(stage)
    kind = "module" if reference.kind == "output" else reference.kind
    return f"{kind}." + re.sub(r"[^\w.]", "_", reference.path)

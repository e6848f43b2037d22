"""The section `teacher_cache` of a run spec."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from kdcore.spec.fields import SAME_RESULTS, Int, Section, Text


class TeacherCacheSpec(Section):
    """The cache of the teacher's outputs: each sample has a fixed number of augmentations, seen in turn."""

    augmentations: Int = Field(
        ge=1,
        description="Augmentations of each sample: epoch e sees number e mod this. The first epochs, "
        "one for each augmentation, fill "
        "the cache, the others read it.",
    )
    dtype: Literal["float16", "bfloat16", "float32"] = Field(
        "float16", description="Number format of the kept outputs."
    )
    top_k: Int | None = Field(
        None,
        ge=1,
        description="Keep only this number of the largest logits, and the probability that remains; null: all logits.",
    )
    folder: Text | None = Field(
        None,
        json_schema_extra=SAME_RESULTS,
        description="A folder that several runs share, relative to the spec's file; null: 'teacher-cache' in the run "
        "directory.",
    )

"""The size of a cache, and a check for free space on the disk."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from kdcore.errors import Problem, UserError
from kdcore.teacher_cache.rows import fields
from kdcore.text import byte_size

if TYPE_CHECKING:
    from pathlib import Path

    from kdcore.spec.models import TeacherCacheSpec
    from kdcore.teacher_cache.rows import Rows

CHECKSUM = 4  # bytes per row


def row_bytes(rows: Rows, settings: TeacherCacheSpec) -> int:
    """The size of one row with its checksum, in bytes."""
    return CHECKSUM + sum(field.row_bytes for field in fields(rows, settings))


def estimate(rows: Rows, settings: TeacherCacheSpec, samples: int) -> int:
    """The size of a full cache in bytes: augmentations x samples rows."""
    return settings.augmentations * samples * row_bytes(rows, settings)


def check_room(folder: Path, needed: int) -> None:
    """Check that the disk of `folder` (which need not exist) has `needed` bytes free.

    Raises:
        UserError: it does not have them.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            Problem(
                "teacher_cache",
                f"the cache needs {byte_size(needed)}, but the disk of {there} has only {byte_size(free)} free",
                hint="lower 'augmentations' or data.train_samples, set 'top_k' or a dtype of 16 bits, or set another "
                "'folder'",
            )
        )

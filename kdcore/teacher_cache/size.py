"""How large a cache becomes, and whether the disk has room."""

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

CHECKSUM = 4  # bytes of a row


def row_bytes(rows: Rows, settings: TeacherCacheSpec) -> int:
    """Bytes of one row with its checksum."""
    return CHECKSUM + sum(field.row_bytes for field in fields(rows, settings))


def estimate(rows: Rows, settings: TeacherCacheSpec, samples: int) -> int:
    """Bytes of a full cache: augmentations x samples rows."""
    return settings.augmentations * samples * row_bytes(rows, settings)


def check_room(folder: Path, needed: int) -> None:
    """Check that the disk of `folder`, which need not exist, has so many bytes left.

    Raises:
        UserError: it has not.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise UserError(
            Problem(
                "teacher_cache",
                f"the cache takes {byte_size(needed)}, and the disk of {there} has {byte_size(free)} left",
                hint="lower 'augmentations' or data.train_samples, set 'top_k' or a dtype of 16 bits, or say another "
                "'folder'",
            )
        )

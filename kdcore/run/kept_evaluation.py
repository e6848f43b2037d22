"""A frozen teacher's logits for the evaluation and test images, kept in its cache: each batch by its pixels."""

from __future__ import annotations

import contextlib
import json
import zipfile
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import Tensor, nn

from kdcore.run.cached_teacher import CachedTeacher
from kdcore.rundir.files import atomic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.data.inputs import InputConfig
    from kdcore.distill.model_images import ModelImages
    from kdcore.run.table_teacher import GivesOutputs
    from kdcore.teacher_cache.cache import TeacherCache

FOLDER: Final = "evaluation"  # in the cache's folder


def caches_of(teachers: Mapping[str, GivesOutputs] | None) -> dict[str, TeacherCache]:
    """The open caches of a run, by the names of the teachers."""
    return {name: one.cache for name, one in (teachers or {}).items() if isinstance(one, CachedTeacher)}


class KeptEvaluation(nn.Module):
    """Gives a teacher's logits, from the disk if the same batch was there before.

    A batch is found by the bytes of its images, the teacher and its precision. So another image, another size of
    batches or another teacher is never taken for it, and the bits are those of the teacher's pass.

    Args:
        model: the teacher.
        images: prepares the student's images for it; None: it takes the same ones.
        cache: the teacher's.
        taken: the student's input images.
        memory_format: memory layout of the images.
    """

    def __init__(
        self,
        model: nn.Module,
        images: ModelImages | None,
        cache: TeacherCache,
        taken: InputConfig,
        memory_format: torch.memory_format,
    ) -> None:
        super().__init__()
        self.training = model.training
        self.model, self._images = model, images
        self._folder = cache.path / FOLDER
        known = cache.manifest.identity
        about = [
            known["teacher"],
            known["precision"],
            list(taken.image_size),
            list(taken.mean),
            list(taken.std),
            taken.interpolation,
            str(memory_format),
        ]
        self._about = json.dumps(about, sort_keys=True).encode()

    def forward(self, images: Tensor) -> Tensor:
        """The logits `[B, K]` for images `[B, C, H, W]` on the CPU, in float32."""
        digest = blake2b(self._about, digest_size=16)
        digest.update(f"{tuple(images.shape)} {images.dtype}".encode())
        digest.update(images.contiguous().numpy().data)
        file = self._folder / f"{digest.hexdigest()}.npz"
        # a damaged file is computed again: a zip has checksums
        with (
            contextlib.suppress(OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile),
            np.load(file, allow_pickle=False) as found,
        ):
            return torch.from_numpy(found["logits"])
        logits: Tensor = self.model(images if self._images is None else self._images(images)).float()
        with contextlib.suppress(OSError):  # a disk that is full costs time only
            self._folder.mkdir(exist_ok=True)
            with atomic(file) as part:
                np.savez(part, logits=logits.numpy())
        return logits

"""The identity of a teacher's outputs: everything that they depend on."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from kdcore.data.fingerprint import sample_names
from kdcore.data.samples import SampleFailure
from kdcore.data.stream import LaneTrainData
from kdcore.data.stream_pass import first_samples
from kdcore.text import path_end

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from torch import Tensor

    from kdcore.data.fingerprint import SplitFingerprint
    from kdcore.data.inputs import InputConfig
    from kdcore.data.train import IndexedTrainData
    from kdcore.models import BuiltModel
    from kdcore.spec.models import AugmentSpec, RunSpec, TeacherSpec

_LOOKED_AT = 64  # samples whose augmented images are part of the identity
_SHARDS_LOOKED_AT = 8  # of a stream: each has to be opened, possibly elsewhere


@dataclass(frozen=True)
class Identity:
    """A digest, its parts, and names for people.

    Attributes:
        parts: JSON; two caches hold the same outputs if these are equal.
        dataset: the name in the spec.
    """

    parts: dict[str, Any]
    dataset: str

    def digest(self) -> str:
        """SHA-256 of all parts, in hex."""
        return hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()

    @property
    def teacher(self) -> str:
        """The teacher's architecture."""
        return str(self.parts["teacher"]["model"])


@dataclass(frozen=True)
class TeacherContent:
    """A teacher with its digests.

    Attributes:
        built: the teacher.
        weights: the digest of its weights.
        code: JSON-ready digests of the code that computes its outputs.
    """

    built: BuiltModel
    weights: str | None
    code: Mapping[str, Any]


def identify(
    spec: RunSpec,
    given: TeacherSpec,
    content: TeacherContent,
    taken: InputConfig,
    train: IndexedTrainData | LaneTrainData,
    files: SplitFingerprint,
    views: Sequence[AugmentSpec] = (),
) -> Identity:
    """The identity of the outputs of a teacher.

    It leaves out paths, dates and machines, so that a cache can be moved; the student, the distillers, epochs and the
    batch size; and the fields and format of the cache, which are in the manifest. It does not contain the versions of
    the libraries that decode and augment images, but the augmented images of some samples, which also show changes
    that no version shows. What a resumed run calls changed is another identity: files of other sizes, other content
    of those that the fingerprint reads, other code of the teacher.

    Args:
        spec: the spec of the run.
        given: the teacher's section in it.
        content: the teacher.
        taken: the student's input images.
        train: the training images: with positions, or a stream in shards.
        files: the fingerprint of the training split; that of a stream has no content.
        views: how each of several views is augmented.

    Raises:
        RunFailed: an image cannot be read.
    """
    teacher = content.built
    own = teacher.input_beside(taken)
    return Identity(
        {
            "teacher": {
                "model": teacher.name,
                "options": json.loads(json.dumps(teacher.options, default=str)),
                "small_input": teacher.small_input,
                "weights": content.weights,
                "code": dict(content.code),
                "folded": given.fold,
                "image_size": list(own.image_size),
                "mean": list(own.mean),
                "std": list(own.std),
                "channels": list(teacher.channels)
                if isinstance(teacher.channels, tuple)
                else teacher.channels,
            },
            "data": {
                **_samples(train),
                "sizes": files.sizes,
                "contents": files.contents,
                "image_size": list(taken.image_size),
                "interpolation": taken.interpolation,
                "channels": spec.data.channels,
                "augment": spec.data.augment.model_dump(mode="json"),
                **_views(views),
                "images": _images(train, taken),
            },
            "seed": spec.seed,
            "precision": given.precision or spec.train.precision,
        },
        dataset=path_end(spec.data.dataset),
    )


def _views(views: Sequence[AugmentSpec]) -> dict[str, Any]:
    return {"views": [view.model_dump(mode="json") for view in views]} if len(views) > 1 else {}


def _samples(train: IndexedTrainData | LaneTrainData) -> dict[str, Any]:
    """Which samples there are."""
    if isinstance(train, LaneTrainData):
        names = hashlib.sha256("\n".join(train.shards.shard_names).encode("utf-8", "surrogateescape"))
        return {
            "split": train.shards.split,
            "shards": train.shards.num_shards,
            "names": names.hexdigest(),
        }
    source = train.samples.source
    return {"split": source.split, "samples": len(train.samples), "names": _names(train)}


def _names(train: IndexedTrainData) -> str:
    """Digest of the chosen samples' names and classes."""
    samples = train.samples
    chosen = None if samples.takes_all else map(samples.source_index, range(len(samples)))
    digest = hashlib.sha256(sample_names(samples.source, chosen).encode())
    if train.labels is not None:
        digest.update(train.labels.numpy().tobytes())
    return digest.hexdigest()


def _images(train: IndexedTrainData | LaneTrainData, taken: InputConfig) -> str:
    """Evenly spaced samples as in the first epoch, in whole grey levels: normalising adds only rounding."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (taken.mean, taken.std))
    digest = hashlib.sha256()
    looked_at = (
        first_samples(train.make, _SHARDS_LOOKED_AT)
        if isinstance(train, LaneTrainData)
        else _evenly_spaced(train)
    )
    for levels in looked_at:
        if levels.dtype != torch.uint8:
            levels = ((levels * std + mean) * 255).round().clamp(0, 255).to(torch.uint8)
        digest.update(levels.numpy().tobytes())
    return digest.hexdigest()


def _evenly_spaced(train: IndexedTrainData) -> Iterator[Tensor]:
    size = len(train.samples)
    for position in sorted({number * size // _LOOKED_AT for number in range(_LOOKED_AT)}):
        found = train.samples[(0, position)]
        if isinstance(found, SampleFailure):
            raise found.error()
        yield found[0][0]

"""Checks with batches, labels and models out of the ordinary."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from kdcore.testing.check import Violation, rule, skip
from kdcore.testing.models import Pair
from kdcore.testing.rig import Refused, may_refuse, require_finite_step

if TYPE_CHECKING:
    from kdcore.testing.subject import DistillerSubject


@rule(
    "distiller",
    summary="With a batch of one sample, terms and gradients are finite; or it says that it cannot, with "
    "ValueError.",
    why="Batches of one come up with large images, and in tests. A deviation or a distance in a batch of "
    "one is often 0 / 0.",
    mend="Give 0 for what a single sample does not have, or raise ValueError.",
)
def batch_of_one(subject: DistillerSubject) -> None:
    rig = subject.rig(samples=1)
    with may_refuse():
        terms = rig.step()
    require_finite_step(rig, terms, "with a batch of one")


@rule(
    "distiller",
    summary="With two classes, terms and gradients are finite; or it says when it is built that it cannot.",
    why="Two classes are common outside of benchmarks. What takes the target class out has a single class "
    "left.",
    mend="Look at what is computed from K - 1 classes.",
)
def two_classes(subject: DistillerSubject) -> None:
    subject.require_terms()
    with may_refuse():
        rig = subject.rig(replace(subject.home, classes=2))
    require_finite_step(rig, rig.step(), "with two classes")


@rule(
    "distiller",
    summary="With probabilities `[B, K]` as the target, terms and gradients are finite; or it says that it "
    "cannot.",
    why="Mixup and cutmix make such targets.",
    mend="Take `target.argmax(1)` where the method knows class indices only, compute with the probabilities, "
    "or raise ValueError.",
)
def soft_targets(subject: DistillerSubject) -> None:
    rig = subject.rig()
    classes = rig.pair.classes
    soft = 0.7 * torch.nn.functional.one_hot(rig.target, classes) + 0.3 / classes
    with may_refuse():
        terms = rig.step(target=soft)
    require_finite_step(rig, terms, "with soft targets")


@rule(
    "distiller",
    summary="Where `requires.target` is False, it works without labels: neither `batch.target` nor "
    "`setup.train_labels`.",
    why="kd takes images without labels for such a distiller. `requires.target` is what tells it, before "
    "training.",
    mend="Declare `Requires(target=True)`, or do without the target.",
)
def no_labels(subject: DistillerSubject) -> None:
    rig = subject.rig()
    if rig.distillation.requires.target:
        skip("it reads the ground truth, and says so")
    rig = subject.rig(replace(subject.home, labelled=False))
    require_finite_step(rig, rig.step(target=None), "without labels")


@rule(
    "distiller",
    summary="Where `requires.sample_index` is False, it works without `batch.index`.",
    why="Streams of images do not tell positions; `requires.sample_index` tells kd to refuse them before "
    "training.",
    mend="Declare `Requires(sample_index=True)`, or do without the index.",
)
def no_index(subject: DistillerSubject) -> None:
    rig = subject.rig()
    if rig.distillation.requires.sample_index:
        skip("it needs each sample's position, and says so")
    require_finite_step(rig, rig.step(index=None), "without positions")


@rule(
    "distiller",
    summary="Between a convolutional network and a transformer it works, both ways; or it is not built, and "
    "says why.",
    why="Feature maps of two families differ in grid, channels and prefix tokens. A mismatch has to come "
    "out before training, and not as an error of shapes in the first step.",
    mend="Build heads from `setup.student.stage(...)` and `setup.teacher.stage(...)`, resize maps to one "
    "grid, and raise ValueError in `__init__` for pairs that do not fit.",
)
def other_family(subject: DistillerSubject) -> None:
    subject.require_terms()
    refused = []
    for pair in (Pair("conv", "vit"), Pair("vit", "conv")):
        try:
            rig = subject.rig(pair)
        except Refused as error:
            refused.append(f"{pair}: {error}")
            continue
        try:
            terms = rig.step()
        except Refused as error:
            raise Violation(f"{pair}: it is built, and refuses the first step: {error}") from error
        except Exception as error:
            raise Violation(
                f"{pair}: it is built, and fails in the first step: {type(error).__name__}: {error}"
            ) from error
        require_finite_step(rig, terms, f"{pair}:")
    if len(refused) == 2:
        skip(f"it says that it cannot: {'; '.join(refused)}")

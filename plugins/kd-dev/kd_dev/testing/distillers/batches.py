"""Checks with unusual batches, labels and models."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.rig import SetupRefused, may_refuse, require_finite_step

if TYPE_CHECKING:
    from torch import Tensor

    from kd_dev.testing.rig import Rig
    from kd_dev.testing.subject import DistillerSubject
    from kdcore import Distiller


@rule(
    "distiller",
    summary="With a batch of one sample, terms and gradients are finite; or it says that it cannot, with "
    "ValueError.",
    why="Batches of one occur with large images, and in tests. A deviation or a distance in a batch of "
    "one is often 0 / 0.",
    fix="Use 0 for a value that a single sample does not have, or raise ValueError.",
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
    fix="Check everything that is computed from K - 1 classes.",
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
    why="Mixup and cutmix produce such targets.",
    fix="Take `target.argmax(1)` if the method uses class indices only, compute with the probabilities, "
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
    summary="If `requires.target` is False, it works without labels, neither `batch.target` nor "
    "`setup.train_labels`, and its terms are the same for other labels.",
    why="kd accepts images without labels for such a distiller. `requires.target` says so before training.",
    fix="Declare `Requires(target=True)`, or do not use the target.",
)
def no_labels(subject: DistillerSubject) -> None:
    rig = subject.rig()
    if rig.distillation.requires.target:
        skip("it declares that it reads the ground truth")
    usual = _terms(rig)
    other = subject.rig()
    others = _terms(other, target=(other.target + 1) % other.pair.classes)
    for name, term in usual.items():
        # terms that differ for the same labels too break the rule `deterministic`
        if not torch.equal(term, others[name]) and _equal(usual, _terms(subject.rig())):
            raise Violation(
                f"requires.target is False, and with other labels the term {name!r} is {others[name].item():.6g} "
                f"instead of {term.item():.6g}"
            )
    rig = subject.rig(replace(subject.home, labelled=False))
    require_finite_step(rig, rig.step(target=None), "without labels")


@rule(
    "distiller",
    summary="If only some samples have a label, terms and gradients are finite, also with one label in a batch; or "
    "`requires.unlabelled` is None.",
    why="kd trains on such samples with a distiller that does not read labels, or that says in `requires.unlabelled` "
    "that it allows them.",
    fix="With `'skipped'` it has to work with a single sample; with `'given'` the target of samples without a label is "
    "-1, and `batch.labelled` says which they are.",
)
def some_labels(subject: DistillerSubject) -> None:
    requires = subject.rig().distillation.requires
    own = cast("Distiller", subject.rig().distiller).requires
    if requires.reads_labels and own.unlabelled is None:
        skip("it needs the label of every sample")
    rig = subject.rig(replace(subject.home, some_labels=True))
    require_finite_step(rig, rig.step(), "with labels of some samples")
    first = int((rig.target >= 0).nonzero()[0])
    one = torch.full_like(rig.target, -1)
    one[first] = rig.target[first]
    require_finite_step(rig, rig.step(target=one), "with one label in a batch")
    if own.unlabelled == "given":
        _require_unknown_is_no_class(subject)


def _require_unknown_is_no_class(subject: DistillerSubject) -> None:
    """Refuse a distiller that takes the target -1 for the last class, as an index of -1 does."""
    pair = replace(subject.home, some_labels=True)

    def with_class(number: int) -> dict[str, Tensor]:
        rig = subject.rig(pair)
        return _terms(rig, target=torch.where(rig.target < 0, number, rig.target))

    first, last, unknown = (with_class(number) for number in (0, subject.home.classes - 1, -1))
    if _equal(unknown, last) and not _equal(first, last):
        raise Violation(
            "a target of -1 has the same terms as the last class: it is read as an index from the end"
        )


def _terms(rig: Rig, **changes: Any) -> dict[str, Tensor]:
    return {name: term.detach() for name, term in rig.step(**changes).items()}


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(term, other[name]) for name, term in one.items())


@rule(
    "distiller",
    summary="If `requires.sample_index` is False, it works without `batch.index`.",
    why="Streams of images have no positions; `requires.sample_index` lets kd refuse them before training.",
    fix="Declare `Requires(sample_index=True)`, or do not use the index.",
)
def no_index(subject: DistillerSubject) -> None:
    rig = subject.rig()
    if rig.distillation.requires.sample_index:
        skip("it declares that it needs each sample's position")
    require_finite_step(rig, rig.step(index=None), "without positions")


@rule(
    "distiller",
    summary="It works between a convolutional network and a transformer, in both directions; or building it fails "
    "with a reason.",
    why="Feature maps of two families differ in grid, channels and prefix tokens. A mismatch must be found "
    "before training, not as a shape error in the first step.",
    fix="Build heads from `setup.student.stage(...)` and `setup.teacher.stage(...)`, resize maps to one "
    "grid, and raise ValueError in `__init__` for pairs that do not fit.",
)
def other_family(subject: DistillerSubject) -> None:
    subject.require_terms()
    refused = []
    home = subject.home
    for pair in (replace(home, student="conv", teacher="vit"), replace(home, student="vit", teacher="conv")):
        try:
            rig = subject.rig(pair)
        except SetupRefused as error:
            refused.append(f"{pair}: {error}")
            continue
        try:
            terms = rig.step()
        except SetupRefused as error:
            raise Violation(f"{pair}: it is built, but refuses the first step: {error}") from error
        except Exception as error:
            raise Violation(
                f"{pair}: it is built, but fails in the first step: {type(error).__name__}: {error}"
            ) from error
        require_finite_step(rig, terms, f"{pair}:")
    if len(refused) == 2:
        skip(f"it refuses: {'; '.join(refused)}")

"""Checks of the loss terms, and of building a distiller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.models import build_models, setup_of
from kd_dev.testing.rig import MIDDLE, SetupRefused, require_finite, require_finite_step

if TYPE_CHECKING:
    from kd_dev.testing.subject import DistillerSubject
    from kdcore import Progress


@rule(
    "distiller",
    summary="It can be built from its options and a setup, for a convolutional or a transformer student and "
    "teacher.",
    why="All other checks need an instance.",
    fix="The message shows the error, or what is missing: it must be an `nn.Module` with `requires`, a "
    "`kdcore.Requires`, and a method `forward`.",
)
def builds(subject: DistillerSubject) -> None:
    pair, said = subject.first_pair
    if pair is None:
        raise Violation(f"it cannot be built for\n    {said}")


@rule(
    "distiller",
    summary="It can be built for models on the meta device, and moved there.",
    why="`kd validate` and the start of a run build everything there, without memory, so that "
    "mistakes cost no training. A distiller that reads weights in its constructor fails there.",
    fix="Build heads from the shapes in `setup`. Read weights, if necessary, in the first `forward`.",
)
def preflight(subject: DistillerSubject) -> None:
    models = build_models(subject.home, device="meta")
    module = subject.build(models.setup).to("meta")
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if not value.is_meta:
            raise Violation(f"{name!r} does not move to another device")


@rule(
    "distiller",
    summary="`forward` gives at least one loss term: a dictionary of names and finite floating-point tensors of "
    "shape [].",
    why="The terms are added to the task loss, and written under their names to `metrics.jsonl`. A "
    "baseline may have none.",
    fix="Reduce each term to the mean over the batch, and multiply it by `options.weight`.",
)
def terms_are_scalars(subject: DistillerSubject) -> None:
    _ = subject.home
    terms = subject.plain_terms
    if isinstance(terms, BaseException):
        raise Violation(f"forward failed: {type(terms).__name__}: {terms}") from terms
    require_finite(terms, "the loss term")
    kind = None if subject.provided is None else subject.provided.entry.kind
    if not terms and kind != "baseline":
        raise Violation("forward returned an empty dictionary, but the kind is not 'baseline'")


@rule(
    "distiller",
    summary="Every loss term is proportional to `options.weight`.",
    why="This option sets the influence of a method in a spec, for every method.",
    fix="Multiply each term by `options.weight`, and use this option for nothing else.",
)
def weight_scales_terms(subject: DistillerSubject) -> None:
    once, twice = (
        {name: term.detach() for name, term in subject.rig(weight=w).step().items()} for w in (1.0, 2.0)
    )
    if once.keys() != twice.keys():
        raise Violation(f"with weight 1 the terms are {sorted(once)}, with weight 2 {sorted(twice)}")
    for name, term in once.items():
        if not torch.isclose(2 * term, twice[name], rtol=1e-4):
            raise Violation(
                f"the term {name!r} is {term.item():.6g} for weight 1, {twice[name].item():.6g} for weight 2"
            )


@rule(
    "distiller",
    summary="At the first step, in the middle and at the last step, the terms have the same names and are "
    "finite.",
    why="Losses that change over the run must not divide by a number that is 0 at one of its ends. "
    "`metrics.jsonl` has the same terms on each line.",
    fix="Check everything that is computed from `progress`; return a term of 0 instead of leaving it out.",
)
def whole_run(subject: DistillerSubject) -> None:
    ends: dict[str, Progress] = {
        "the first step": replace(MIDDLE, epoch=0.0, step=0),
        "the last step": replace(MIDDLE, epoch=99.99, step=999),
        "the only step": replace(MIDDLE, epoch=0.0, step=0, total_steps=1, total_epochs=1),
    }
    usual = subject.rig().step().keys()
    for when, progress in ends.items():
        rig = subject.rig()
        terms = rig.step(progress)
        if terms.keys() != usual:
            raise Violation(
                f"at {when} the terms are {sorted(terms)}, in the middle of a run {sorted(usual)}"
            )
        require_finite_step(rig, terms, f"at {when}")


@rule(
    "distiller",
    summary="Without a teacher it works if `requires.teacher` is False; otherwise it is built, or its error says "
    "that a teacher is missing.",
    why="A spec may have no teacher. Then the user must learn that the distiller needs one, and not see a "
    "traceback.",
    fix="Raise ValueError where `setup.teacher` is None and you need it, or declare "
    "`Requires(teacher=False)`.",
)
def no_teacher(subject: DistillerSubject) -> None:
    pair = replace(subject.home, teacher=None)
    try:
        module = subject.build(setup_of(pair))
    except SetupRefused as refused:
        if subject.build(setup_of(subject.home)).requires.teacher:  # type: ignore[union-attr]
            return
        raise Violation(
            f"requires.teacher is False, but without a teacher it cannot be built: {refused}"
        ) from refused
    if module.requires.teacher:  # type: ignore[union-attr]
        return  # kd itself reports the missing teacher
    subject.require_terms()
    rig = subject.rig(pair)
    require_finite_step(rig, rig.step(), "without a teacher")


@rule(
    "distiller",
    summary="If `requires.views` is above 1, every view of the student affects the loss.",
    why="Each view costs a forward pass of student and teacher.",
    fix="Read `student.views`, or request fewer views.",
)
def views(subject: DistillerSubject) -> None:
    rig = subject.rig()
    count = rig.distillation.requires.num_views
    if count == 1:
        skip("it requests one view")
    usual = {name: term.detach() for name, term in rig.step().items()}
    for view in range(count):
        rig = subject.rig()
        rig.images[:, view] = rig.images[:, view].flip(-1)
        terms = rig.step()
        if all(torch.equal(term, usual[name]) for name, term in terms.items()):
            raise Violation(f"it requests {count} views, but view {view + 1} changes no term")

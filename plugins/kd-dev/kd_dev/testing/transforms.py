"""The checks of transforms: a small student is changed, and built again from the record."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any, Final

import timm
import torch
from torch import Tensor, nn

from kd_dev.testing.check import Violation, rule, skip
from kd_dev.testing.declared import signature_faults
from kd_dev.testing.declared_subject import DeclaredSubject
from kd_dev.testing.rig import names
from kdcore import ChecksTraining, RunSpec, Transformed, TransformEntry, TransformSetup
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kd_dev.testing.check import Rule

SIDE: Final = 32
CLASSES: Final = 5
_SEED: Final = 31
_NEAR: Final = 1e-5  # of logits that are computed by the same operations
_METHODS: Final = {"apply": ("model", "setup"), "rebuild": ("model", "record")}


class TransformSubject(DeclaredSubject[TransformEntry]):
    """A transform with the defaults of its options."""

    def made(self) -> Any:
        """A new instance."""
        model = get_plugins().load_options(self.provided, self.name)
        return self.target(None if model is None else model())

    def usable(self) -> Any:
        """A new instance.

        Raises:
            unittest.SkipTest: the check `protocol` fails.
        """
        transform = self.made()
        if list(faults(transform, self.entry.target)):
            skip("it is not a transform: see the check 'protocol'")
        return transform

    def applied(self, student: nn.Module) -> Transformed:
        """A student after the transform.

        Raises:
            Violation: it returned something else.
        """
        transform = self.usable()
        torch.default_generator.manual_seed(_SEED)
        done: object = transform.apply(student, setup())
        if not isinstance(done, Transformed):
            raise Violation(f"apply() returned {type(done).__name__}, not kdcore.Transformed")
        return done


def student() -> nn.Module:
    """A small residual network of timm, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_SEED)
        made: nn.Module = timm.create_model(
            "resnet10t",
            num_classes=CLASSES,
            channels=(16, 16, 32, 32),
            stem_width=16,
            zero_init_last=False,  # zeros would hide what is before them
        )
    return made


def setup() -> TransformSetup:
    """What a run of this student gives."""
    return TransformSetup(
        model="resnet10t",
        num_classes=CLASSES,
        in_chans=3,
        image_size=(SIDE, SIDE),
        random_weights=False,
        train=RunSpec.model_validate({"student": {"model": "resnet10t"}, "distiller": "vanilla"}).train,
        processes=1,
        generator=torch.Generator().manual_seed(_SEED),
        where="student.transform",
    )


def faults(transform: Any, named: str) -> Iterator[str]:
    """Methods of the protocol that it does not have, or that cannot be called as kd calls them."""
    for name, arguments in _METHODS.items():
        method = getattr(transform, name, None)
        if not callable(method):
            yield f"{named} has no method {name!r}"
        else:
            yield from signature_faults(method, arguments, f"{named}.{name}")
    if isinstance(transform, ChecksTraining):
        yield from signature_faults(transform.check_training, ("setup",), f"{named}.check_training")


@rule(
    "transform",
    summary="The declared target can be loaded, and called with `(options)`.",
    why="Until a run begins, kd knows only the declaration.",
    fix="Correct `target` in the `TransformEntry`, or the signature of the class.",
)
def declaration(subject: TransformSubject) -> None:
    if subject.faults:
        raise Violation("; ".join(subject.faults))


@rule(
    "transform",
    summary="With the defaults of its options it can be built, and it has the methods of `kdcore.Transform`.",
    why='`"transform": "NAME"` in a spec is enough to use it.',
    fix="Give every option a default, and write `apply(self, model, setup)` and `rebuild(self, model, record)`.",
)
def protocol(subject: TransformSubject) -> None:
    found = list(faults(subject.made(), subject.entry.target))
    if found:
        raise Violation("; ".join(found))


@rule(
    "transform",
    summary="The changed student gives logits, and a gradient for each parameter with `requires_grad`.",
    why="It is trained with the loss of the run.",
    fix="Keep the outputs of the classifier, leave parameters that are trained with `requires_grad`, and remove those "
    "that the student no longer uses.",
)
def trains(subject: TransformSubject) -> None:
    model = subject.applied(student()).model.train()
    logits = model(_images())
    if tuple(logits.shape) != (2, CLASSES):
        raise Violation(f"for 2 images it gives {tuple(logits.shape)}, not (2, {CLASSES})")
    trained = {name: value for name, value in model.named_parameters() if value.requires_grad}
    if not trained:
        raise Violation("no parameter has requires_grad")
    logits.square().mean().backward()
    without = [name for name, value in trained.items() if value.grad is None]
    if without:
        raise Violation(f"{names(without)} gets no gradient")


@rule(
    "transform",
    summary="`rebuild` makes the same student of the same weights, from the record as JSON.",
    why="A run that continues, `kd eval`, `kd export` and other runs build the student from its record.",
    fix="Make the same change in `rebuild` as in `apply`, and write everything into the record that the change "
    "depends on, as JSON values.",
)
def rebuilds(subject: TransformSubject) -> None:
    done = subject.applied(student())
    try:
        record = json.loads(json.dumps(dict(done.record), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise Violation(f"its record is not JSON: {error}") from error
    again = subject.made().rebuild(student(), record)
    _compare(done.model, again, values=True)


@rule(
    "transform",
    summary="`rebuild` works on the meta device.",
    why="Before a run, kd checks shapes without memory.",
    fix="Make new tensors on the device of the old ones, and read no values.",
)
def without_memory(subject: TransformSubject) -> None:
    done = subject.applied(student())
    again = subject.made().rebuild(copy.deepcopy(student()).to("meta"), done.record)
    _compare(done.model, again, values=False)


@rule(
    "transform",
    summary="The same student and seed give the same result.",
    why="A run that is repeated has the same result.",
    fix="Draw random numbers from `setup.generator`, and keep no state between calls.",
)
def deterministic(subject: TransformSubject) -> None:
    first, again = (subject.applied(student()) for _ in range(2))
    if dict(first.record) != dict(again.record):
        raise Violation("it gave two different records")
    _compare(first.model, again.model, values=True)


def _compare(one: nn.Module, other: Any, *, values: bool) -> None:
    """Raises Violation if two models have other tensors or, with `values`, give other logits for the same images."""
    if not isinstance(other, nn.Module):
        raise Violation(f"rebuild() returned {type(other).__name__}, not an nn.Module")
    ours, theirs = one.state_dict(), other.state_dict()
    for name in ours.keys() | theirs.keys():
        if name not in ours or name not in theirs:
            raise Violation(f"only one of the two students has {name}")
        if ours[name].shape != theirs[name].shape:
            raise Violation(f"{name} is {list(ours[name].shape)}, and then {list(theirs[name].shape)}")
        if values and not torch.equal(ours[name], theirs[name]):
            raise Violation(f"{name} has other values")
    if values:
        for training in (False, True):
            first, second = (_logits(model, training=training) for model in (one, other))
            if not torch.allclose(first, second, rtol=_NEAR, atol=_NEAR, equal_nan=True):
                mode = "training" if training else "evaluation"
                raise Violation(
                    f"in {mode}, the two students give other logits for the same images; their weights are equal, so "
                    "their layers are not"
                )


def _images() -> Tensor:
    """A batch, always the same."""
    return torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(_SEED))


def _logits(model: nn.Module, *, training: bool) -> Tensor:
    """For the fixed batch, with the same random numbers each time."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(_SEED)
        logits: Tensor = model.train(training)(_images())
    return logits


RULES: Final[tuple[Rule[TransformSubject], ...]] = (
    declaration,
    protocol,
    trains,
    rebuilds,
    without_memory,
    deterministic,
)

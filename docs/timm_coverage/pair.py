"""One student, one teacher, some methods: built and run as a user of `kdcore.Distillation` would."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import timm
import torch
import torch.nn.functional as F

from kdcore import AdaptedModel, Distillation, DistillationOutput, UserError
from kdcore.features import probing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from torch import Tensor, nn

    from kdcore import ModelInfo, ModelOutput, Stage, StageInfo

METHODS: Final = ("fitnet", "crd", "rkd", "ofa")
TEACHERS: Final = ("resnet18", "deit_tiny_patch16_224")  # one of maps, one of tokens
TEACHER_SIZE: Final = (224, 224)
ENCODER: Final = "vit_tiny_patch16_224"  # as a teacher without its classifier
EMBEDDING_METHODS: Final = (
    "rkd",
    "cosine",
)  # what an encoder teaches: relations, and a head for its embedding
# further methods, each with the teacher for whose kind it was made
HINTS: Final[dict[str, tuple[str, ...]]] = {
    "resnet18": (
        *("reviewkd", "mgd", "srrl", "ickd", "cwd", "pkd", "srd", "ofd", "catkd"),
        *("vkd", "itrd", "rrd", "dcd", "queue-relation", "cosine"),
    ),
    "deit_tiny_patch16_224": ("vitkd", "manifold", "token-relation", "dense"),
}
STUDENT: Final = "resnet18"  # of encoders that are tried as teachers
NUM_CLASSES: Final = 10
BATCH: Final = 3  # the fewest of which RKD has an angle
_PLACE: Final = re.compile(r"distiller\[(\d+)\]")
_NAMED: Final = re.compile(r"distiller '([\w-]+)'")
_TRAIN_SIZE: Final = 100
_skeletons: WeakKeyDictionary[nn.Module, nn.Module] = WeakKeyDictionary()
_outputs: dict[Any, ModelOutput] = {}  # of the teachers, which stay for the whole process
_infos: WeakKeyDictionary[nn.Module, dict[Any, ModelInfo]] = WeakKeyDictionary()
_OPTIONS: Final[dict[str, dict[str, Any]]] = {"crd": {"negatives": 10}, "rrd": {"queue": 50}}


class Smaller(NamedTuple):
    """What makes a model small enough: images of this side, and options of its constructor."""

    side: int
    options: dict[str, Any]


class Outcome(NamedTuple):
    """What methods gave together, and why others gave nothing."""

    value: Any
    failures: dict[str, str]


def create(name: str, device: str, **options: Any) -> nn.Module:
    """A model of timm with initial weights, in training mode; on 'meta' without weights."""
    with torch.device(device):
        return timm.create_model(name, num_classes=NUM_CLASSES, **options).train()


@cache
def teacher(name: str, device: str) -> nn.Module:
    """The teacher, one for all students of this process."""
    torch.manual_seed(0)
    return create(name, device)


@cache
def encoder(name: str, device: str) -> nn.Module:
    """A teacher without a classifier, one for all students of this process."""
    torch.manual_seed(0)
    with torch.device(device):
        return timm.create_model(name, num_classes=0)


def image_size(model: nn.Module) -> tuple[int, int]:
    """The (height, width) that a model was made for."""
    config: Any = model.pretrained_cfg
    _, height, width = config["input_size"]
    return height, width


def class_of(model: nn.Module) -> str:
    """The model's class, as feature adapters are declared for it."""
    return f"{type(model).__module__}:{type(model).__qualname__}"


def images_for(size: tuple[int, int], device: str) -> Tensor:
    """`BATCH` images, the same ones at each call."""
    if device == "meta":
        return torch.empty(BATCH, 3, *size, device=device)
    return torch.randn(BATCH, 3, *size, generator=torch.Generator().manual_seed(1))


def one_skeleton() -> None:
    """In this process, copy each model once to the meta device, not each time that something of it is measured."""

    def skeleton(model: nn.Module, place: Callable[[Tensor], Tensor]) -> nn.Module:
        if place is not probing._on_meta:
            return copied(model, place)
        if model not in _skeletons:
            _skeletons[model] = copied(model, place)
        twin = _skeletons[model].eval()
        for module in twin.modules():  # what was measured before has left its hooks
            module._forward_hooks.clear()
            module._forward_pre_hooks.clear()
        return twin

    if probing.skeleton.__module__ == probing.__name__:
        copied = probing.skeleton
        probing.skeleton = skeleton


class KnownModel(AdaptedModel):
    """A model that several distillations are tried with: its shapes are measured once, not in each of them."""

    def info(self, in_chans: int) -> ModelInfo:
        """What distillers may know of it; the same object while the model is used."""
        assert self.adapter is not None
        known = _infos.setdefault(self.model, {})
        key = (type(self.adapter), self.image_size, in_chans, self.classifier)
        if key not in known:
            known[key] = info = super().info(in_chans)
            info.stage = _remembered(info.stage)  # type: ignore[method-assign]
        return known[key]


def _remembered(stage: Callable[[Stage], StageInfo]) -> Callable[[Stage], StageInfo]:
    """The same function, which measures each stage once, also one that the model does not have."""
    missing: dict[Stage, UserError] = {}

    def find(ref: Stage) -> StageInfo:
        if ref in missing:
            raise missing[ref]
        try:
            return stage(ref)
        except UserError as error:
            missing[ref] = error
            raise

    return find


def distillation(
    student: nn.Module, teacher_name: str, methods: Iterable[str], size: tuple[int, int], device: str
) -> Distillation:
    """Student, teacher and heads; the teacher sees the images resized to its own size."""
    with torch.device(device):
        return Distillation(
            KnownModel(model=student),
            KnownModel(
                model=teacher(teacher_name, device),
                images=lambda images: F.interpolate(images, TEACHER_SIZE, mode="bilinear"),
                image_size=TEACHER_SIZE,
            ),
            [{"name": name, **_OPTIONS.get(name, {})} for name in methods],
            num_classes=NUM_CLASSES,
            image_size=size,
            train_size=_TRAIN_SIZE,
            task_weight=1.0,
        )


def encoder_distillation(
    student: nn.Module,
    teacher: nn.Module,
    methods: Iterable[str],
    size: tuple[int, int],
    teacher_size: tuple[int, int],
    device: str,
) -> Distillation:
    """Student, heads, and a teacher that gives an embedding only; it sees the images resized to its own size."""
    with torch.device(device):
        return Distillation(
            student,
            AdaptedModel(
                model=teacher,
                images=lambda images: F.interpolate(images, teacher_size, mode="bilinear"),
                image_size=teacher_size,
                classifier=False,
            ),
            [{"name": name} for name in methods],
            num_classes=NUM_CLASSES,
            image_size=size,
            train_size=_TRAIN_SIZE,
            task_weight=1.0,
        )


def step(module: Distillation, images: Tensor) -> DistillationOutput:
    """One forward pass, with targets and positions in the training set.

    Raises:
        ValueError: the logits are not `[B, K]`, or a loss term is not a scalar.
    """
    target = torch.arange(BATCH, device=images.device)
    taught = _taught(module, images) if images.device.type == "meta" else None
    out: DistillationOutput = module(images, target, index=target + 5, teacher_output=taught)
    if out.logits.shape != (BATCH, NUM_CLASSES):
        raise ValueError(f"logits of shape {list(out.logits.shape)}")
    for name, value in {"loss": out.loss, **out.terms}.items():
        if value.dim():
            raise ValueError(f"{name} has shape {list(value.shape)}; it must be a scalar")
    return out


def _taught(module: Distillation, images: Tensor) -> dict[str, ModelOutput] | None:
    """What the teachers give on the meta device, where equal passes give equal shapes; each is run once."""
    found = {}
    for name, teacher in module.teacher_passes.items():
        key = (id(teacher.model), teacher.requires)
        if key not in _outputs:
            _outputs[key] = module.forward_teachers(images)[name]
        found[name] = _outputs[key]
    return found


def attempt(methods: Sequence[str], run: Callable[[Sequence[str]], Any]) -> Outcome:
    """`run` with all methods. If that fails, run each alone to find the reasons, and the working ones together."""
    try:
        return Outcome(run(methods), {})
    except Exception as error:
        if len(methods) == 1:
            return Outcome(None, {methods[0]: reason(error)})
        failures: dict[str, str] = {}
        for name in methods:
            failures.update(attempt([name], run).failures)
        working = [name for name in methods if name not in failures]
        if not failures:  # each alone works, all together do not
            return Outcome(None, dict.fromkeys(methods, f"together: {reason(error)}"))
        return Outcome(run(working) if working else None, failures)


def try_each(
    methods: Sequence[str], run: Callable[[Sequence[str]], Any]
) -> tuple[dict[str, str], dict[str, str]]:
    """`run` with all methods, without those that refuse this pair.

    A refusal names its place in the list of distillers, so the others are tried together again.

    Returns:
        Why methods refused the pair, and why others failed; those that work are in neither.
    """
    left, refused = list(methods), dict[str, str]()
    while left:
        try:
            run(left)
        except UserError as error:
            refusing = [left[0]] if len(left) == 1 else _refusing(error, left)
            if not refusing:  # it names no method, as one that is found in the first step
                found = [try_each([name], run) for name in left]
                alone = {name: why for one, _ in found for name, why in one.items()}
                failed = {name: why for _, one in found for name, why in one.items()}
                if not alone and not failed:
                    failed = dict.fromkeys(left, f"together: {reason(error)}")
                return refused | alone, failed
            refused |= dict.fromkeys(refusing, reason(error))
            left = [name for name in left if name not in refusing]
        except Exception:
            return refused, _alone(left, run)
        else:
            break
    return refused, {}


def _refusing(error: UserError, methods: Sequence[str]) -> list[str]:
    """The methods that an error is about: it names the place in the list of distillers, or the distiller."""
    found = []
    for problem in error.problems:
        place = _PLACE.match(problem.where)
        name = methods[int(place[1])] if place else next(iter(_NAMED.findall(problem.message)), "")
        found += [name] if name in methods else []
    return found


def _alone(methods: Sequence[str], run: Callable[[Sequence[str]], Any]) -> dict[str, str]:
    """Why each of the methods fails alone."""
    failed: dict[str, str] = {}
    for name in methods:
        try:
            run([name])
        except Exception as error:
            failed[name] = reason(error)
    return failed or dict.fromkeys(methods, "together with others: it fails")


def reason(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, UserError):
        return error.problems[0].message
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

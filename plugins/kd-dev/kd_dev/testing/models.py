"""Tiny models of two families for the checks of distillers: timm's models with timm's adapters, as in a run."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, get_args

import torch
from torch import nn

from kdcore import AdaptedModel, ModelInfo, Setup
from kdcore.inspect import find_adapter
from kdcore.plugin import get_plugins

Family = Literal["conv", "vit", "distilled"]
Role = Literal["student", "teacher", "second"]

SIDE: Final = 32  # image size in pixels
CLASSES: Final = 5
TRAIN_SIZE: Final = 40  # samples in the training set of the batches
_SEED: Final = 1797
_ROLES: Final = get_args(Role)


@dataclass(frozen=True, slots=True)
class Pair:
    """The families of student and teacher (no teacher: None), the number of classes, and whether there are labels.

    `some_labels`: of every other training sample.
    `teachers` is the number of teachers of this family, 1 or 2; `learns`: they are trained with the student.
    """

    student: Family = "conv"
    teacher: Family | None = "conv"
    classes: int = CLASSES
    labelled: bool = True
    teachers: int = 1
    learns: bool = False
    some_labels: bool = False

    def __str__(self) -> str:
        names = {"conv": "a convolutional", "vit": "a transformer", "distilled": "a distilled transformer"}
        teacher = "no" if self.teacher is None else names[self.teacher]
        more = " and another one" if self.two_teachers else " that learns" if self.learns else ""
        return f"{names[self.student]} student with {teacher} teacher{more}"

    @property
    def two_teachers(self) -> bool:
        """Whether there are two teachers, which a distiller gets by name."""
        return self.teacher is not None and self.teachers == 2


@dataclass(frozen=True, kw_only=True)
class KnownModel(AdaptedModel):
    """A model whose shapes are known, so that a `Distillation` of it measures none."""

    known: ModelInfo

    def info(self, in_chans: int) -> ModelInfo:
        """What distillers may know of it."""
        return self.known


@dataclass(frozen=True)
class PairModels:
    """A pair's models, and the setup for building a distiller."""

    student: nn.Module
    teachers: dict[str, nn.Module]
    setup: Setup

    def known(self) -> tuple[KnownModel, dict[str, KnownModel] | KnownModel | None]:
        """Student and teachers for a `Distillation`."""
        student = KnownModel(model=self.student, known=self.setup.student)
        teachers = {
            name: KnownModel(
                model=model, known=self.setup.teachers[name], learns=self.setup.teachers[name].learns
            )
            for name, model in self.teachers.items()
        }
        return student, teachers if len(teachers) > 1 else next(iter(teachers.values()), None)


def build_models(pair: Pair, dtype: torch.dtype = torch.float32, device: str = "cpu") -> PairModels:
    """Copies of the models: the same weights each time, the student in training mode."""
    student = _placed(pair.student, "student", pair.classes, dtype, device).train()
    teachers: dict[str, nn.Module] = {}
    infos: dict[str, ModelInfo] = {}
    roles: tuple[Role, ...] = ("teacher", "second") if pair.two_teachers else ("teacher",)
    for role in roles if pair.teacher is not None else ():
        assert pair.teacher is not None
        teacher = _placed(pair.teacher, role, pair.classes, dtype, device)
        teachers[role] = teacher.train() if pair.learns else teacher.requires_grad_(False).eval()
        infos[role] = _info(teacher, pair.teacher, role, pair.classes)
        infos[role].learns = pair.learns
    setup = Setup(
        student=_info(student, pair.student, "student", pair.classes),
        teacher=next(iter(infos.values())) if len(infos) == 1 else None,
        num_classes=pair.classes,
        train_size=TRAIN_SIZE,
        train_labels=train_labels(pair) if pair.labelled else None,
        generator=torch.Generator(),
        teachers=infos,
    )
    return PairModels(student, teachers, setup)


@cache
def setup_of(pair: Pair) -> Setup:
    """What a distiller is built from for a pair; all who only build one share its models."""
    return build_models(pair).setup


def train_labels(pair: Pair) -> torch.Tensor:
    """The class index of every training sample `[N]`, -1 without one."""
    labels = torch.arange(TRAIN_SIZE) % pair.classes
    if pair.some_labels:
        labels[::2] = -1
    return labels


def _placed(family: Family, role: Role, classes: int, dtype: torch.dtype, device: str) -> nn.Module:
    return copy.deepcopy(_prototype(family, role, classes)).to(device=device, dtype=dtype)


def _info(model: nn.Module, family: Family, role: Role, classes: int) -> ModelInfo:
    """The information that a distiller gets about this model; the shapes are probed once per process."""
    known = _known(family, role, classes)
    own: Any = model
    classifier = own.get_classifier()
    adapter = find_adapter(model, None, get_plugins(), role)
    live = AdaptedModel(model=model, adapter=adapter, image_size=(SIDE, SIDE)).info(3)
    return ModelInfo(
        known.name,
        num_parameters=known.num_parameters,
        classifier=classifier[0] if isinstance(classifier, tuple) else classifier,
        probe=lambda stages: tuple(known.stage(stage) for stage in stages),
        probe_embedding=lambda: known.embedding_dim,
        find_module=live.module,
        probe_distillation=lambda: known.has_distillation_logits,
        make_tail=live.tail,
        forward=live.extract,
    )


@cache
def _known(family: Family, role: Role, classes: int) -> ModelInfo:
    model = _prototype(family, role, classes)
    adapter = find_adapter(model, None, get_plugins(), role)
    return AdaptedModel(model=model, adapter=adapter, image_size=(SIDE, SIDE)).info(3)


@cache
def _prototype(family: Family, role: Role, classes: int) -> nn.Module:
    import timm  # slow

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED + _ROLES.index(role))
        wide = role != "student"
        # group norm instead of timm's batch norm: a student that does not relate samples shows which distillers do
        model: nn.Module = (
            timm.create_model(
                "resnet10t",
                num_classes=classes,
                channels=(12, 16, 20, 24) if wide else (8, 12, 16, 20),
                stem_width=8,
                norm_layer="groupnorm1",
            )
            if family == "conv"
            else timm.create_model(
                "vit_tiny_patch16_224" if family == "vit" else "deit_tiny_distilled_patch16_224",
                num_classes=classes,
                img_size=SIDE,
                patch_size=8,
                embed_dim=36 if wide else 24,
                depth=4,
                num_heads=3,
            )
        )
        _enliven(model)
    return model


def _enliven(model: nn.Module) -> None:
    """Set values as after some training: branches that start at zero contribute, and logits differ between classes."""
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if isinstance(weight, nn.Parameter) and weight.dim() == 1:
            nn.init.normal_(weight, 1.0, 0.1)
    found: Any = model.get_classifier()  # type: ignore[operator]  # timm's models have it
    for classifier in found if isinstance(found, tuple) else (found,):
        nn.init.normal_(classifier.weight, 0.0, 2 / classifier.weight.shape[1] ** 0.5)

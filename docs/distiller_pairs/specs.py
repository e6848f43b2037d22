"""The pairs, and the spec of a short run of one distiller on one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from kdcore import DistillerEntry

SIDE: Final = 64
TRAIN, EVAL, BATCH, EPOCHS = 32, 16, 16, 2


@dataclass(frozen=True)
class Pair:
    """A teacher and a student of timm, both without pretrained weights.

    Attributes:
        distilled: the student's variant with a second head for distillation, for methods that need one.
    """

    teacher: str
    student: str
    distilled: str | None = None

    @property
    def title(self) -> str:
        """`teacher → student`."""
        return f"{self.teacher} → {self.student}"


PAIRS: Final = (
    Pair("resnet34", "resnet18"),
    Pair("vit_small_patch16_224", "resnet18"),
    Pair("resnet50", "mobilenetv2_100"),
    Pair("convnext_tiny", "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"),
    Pair("swin_tiny_patch4_window7_224", "resmlp_12_224"),
)
# the published memories and queues are for large sets
OPTIONS: Final[dict[str, dict[str, Any]]] = {"crd": {"negatives": 16}}


def spec_of(entry: DistillerEntry, pair: Pair) -> dict[str, Any]:
    """The run of a distiller with its default options, and the teachers that it needs."""
    needs = set(entry.needs or ())
    student = pair.student
    if "distilled-student" in needs and pair.distilled is not None:
        student = pair.distilled
    teacher = {"model": pair.teacher, "image_size": SIDE}
    spec: dict[str, Any] = {
        "name": entry.name,
        "data": {
            "dataset": "digits",
            "image_size": SIDE,
            "train_samples": TRAIN,
            "eval_samples": EVAL,
            "workers": 0,
        },
        "student": {"model": student},
        "distiller": [{"name": entry.name, **OPTIONS.get(entry.name, {})}],
        "train": {"epochs": EPOCHS, "batch_size": BATCH},
        "optimizer": {"name": "adamw", "lr": 1e-4},
        "task": {"weight": 1.0},
        "report": False,
    }
    if "several-teachers" in needs:
        spec["teacher"] = [
            {"name": "one", **teacher},
            {"name": "two", "model": pair.student, "image_size": SIDE},
        ]
    elif "learning-teacher" in needs:
        spec["teacher"] = {"model": pair.teacher, "learns": True}
    elif "teacher" in needs:
        spec["teacher"] = teacher
    return spec

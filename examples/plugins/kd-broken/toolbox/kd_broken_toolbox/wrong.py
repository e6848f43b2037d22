"""Everything here does or returns something else than kd asks for."""

from __future__ import annotations

from typing import Any

from kdcore import Requires
from torch import Tensor, nn


class Method(nn.Module):
    """Returns a number instead of named loss terms."""

    requires = Requires()

    def __init__(self, options: Any, setup: Any) -> None:
        super().__init__()

    def forward(self, student: Any, teacher: Any, batch: Any, progress: Any) -> float:
        """A number."""
        return 1.0


class Adapter:
    """Its stages are a text."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> str:
        """Text."""
        return "one, two, three, four"

    def forward(self, model: nn.Module, images: Tensor, stages: Any, embedding: bool) -> str:
        """Text."""
        return "logits"


def dataset(root: str | None, split: str) -> int:
    """A number instead of a dataset."""
    return 5


def model(num_classes: int, in_chans: int) -> str:
    """Text instead of a network."""
    return "a network"


class Transform:
    """It returns a number in place of a changed student."""

    def __init__(self, options: None) -> None:
        pass

    def apply(self, model: nn.Module, setup: Any) -> int:
        """A number."""
        return 3

    def rebuild(self, model: nn.Module, record: Any) -> nn.Module:
        """Nothing is changed."""
        return model


command = {"this": "cannot be called"}


def export(student: Any, folder: Any, about: Any) -> list[str]:
    """The name of a file that it did not write."""
    return ["weights.bin"]


def metric(probabilities: Tensor, targets: Tensor) -> str:
    """Text instead of a number."""
    return "quite good"


def section(run: Any) -> str:
    """HTML instead of a section."""
    return "<p>quite good</p>"


class Launcher:
    """What it returns for a started job is not text."""

    def __init__(self, options: None, setup: Any) -> None:
        self.started = 0

    def start(self, job: Any) -> int:
        """A number."""
        return 17

    def attach(self, job: Any, handle: str) -> bool:
        """No."""
        return False

    def ended(self) -> list[Any]:
        """Never."""
        return []

    def stop(self, names: Any) -> None:
        """Nothing to stop."""

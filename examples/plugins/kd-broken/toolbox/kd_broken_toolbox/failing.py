"""Everything here raises an exception when it is used, some of it SystemExit."""

from __future__ import annotations

from typing import Any

from kdcore import Requires
from torch import Tensor, nn


class Method(nn.Module):
    """Fails in each step."""

    requires = Requires()

    def __init__(self, options: Any, setup: Any) -> None:
        super().__init__()

    def forward(self, student: Any, teacher: Any, batch: Any, progress: Any) -> dict[str, Tensor]:
        """Raises ZeroDivisionError."""
        raise ZeroDivisionError("a temperature of 0")


class Adapter:
    """Fails for every model."""

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[Any, ...]:
        """Raises AttributeError."""
        raise AttributeError("this model has no trunk")

    def forward(self, model: nn.Module, images: Tensor, stages: Any, embedding: bool) -> Any:
        """Raises AttributeError."""
        raise AttributeError("this model has no trunk")


def dataset(root: str | None, split: str) -> Any:
    """Raises PermissionError."""
    raise PermissionError("the images are locked")


def model(num_classes: int, in_chans: int) -> nn.Module:
    """Raises KeyError."""
    raise KeyError("width")


class Transform:
    """Fails for every student."""

    def __init__(self, options: None) -> None:
        pass

    def apply(self, model: nn.Module, setup: Any) -> Any:
        """Raises OverflowError."""
        raise OverflowError("too many channels")

    def rebuild(self, model: nn.Module, record: Any) -> nn.Module:
        """Raises OverflowError."""
        raise OverflowError("too many channels")


def command() -> None:
    """Raises LookupError."""
    raise LookupError("the list is empty")


def export(student: Any, folder: Any, about: Any) -> list[str]:
    """Writes a part, then raises SystemExit."""
    (folder / "part.bin").write_bytes(b"half of it")
    raise SystemExit(3)


def metric(probabilities: Tensor, targets: Tensor) -> float:
    """Raises SystemExit."""
    raise SystemExit(4)


def section(run: Any) -> Any:
    """Raises SystemExit."""
    raise SystemExit(5)


class Launcher:
    """Fails at the first job."""

    def __init__(self, options: None, setup: Any) -> None:
        self.folder = setup.folder

    def start(self, job: Any) -> str:
        """Raises ConnectionError."""
        raise ConnectionError("the queue does not answer")

    def attach(self, job: Any, handle: str) -> bool:
        """No."""
        return False

    def ended(self) -> list[Any]:
        """Never."""
        return []

    def stop(self, names: Any) -> None:
        """Raises ConnectionError."""
        raise ConnectionError("the queue does not answer")

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from kdcore import DatasetEntry
from kdcore.data.inputs import InputConfig
from kdcore.errors import Problem, UserError, nearest
from kdcore.spec.models import DataSpec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def picture(number: int, size: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
    """An image of (width, height) whose pixels tell its number."""
    channels = 3 if mode == "RGB" else 1
    pixels = np.random.RandomState(number).randint(0, 256, (size[1], size[0], channels), dtype=np.uint8)
    return Image.fromarray(pixels if mode == "RGB" else pixels[..., 0])


class Pairs:
    """A dataset as plugins give them: `count` images, labels in turn."""

    def __init__(self, count: int, kinds: int = 3, labelled: bool = True, **attributes: Any) -> None:
        self._images = [picture(number) for number in range(count)]
        self._labels = [number % kinds if labelled else -1 for number in range(count)]
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self._images[index], self._labels[index]


@dataclass
class FakePlugins:
    """What `open_split` asks of the plugins, for datasets by name."""

    targets: dict[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    options: Any = None
    infos: tuple[Any, ...] = ()

    def load_options(self, provided: Any, where: str) -> Any:
        return self.options

    def _provided(self, name: str) -> Any:
        entry = DatasetEntry(name, "Pictures.", "fake:Pictures", self.num_classes)
        plugin = SimpleNamespace(name="fake", version="1.2")
        return SimpleNamespace(entry=entry, plugin=plugin, qualified=f"fake/{name}")

    def all(self, kind: Any) -> tuple[Any, ...]:
        return tuple(self._provided(name) for name in self.targets)

    def find(self, kind: Any, ref: str, where: str) -> Any:
        name = ref.removeprefix("fake/")
        if name not in self.targets:
            raise UserError(Problem(where, "no such dataset", ref, nearest=nearest(ref, self.targets)))
        return self._provided(name)

    def load(self, provided: Any, where: str) -> Any:
        return self.targets[provided.entry.name]


@pytest.fixture
def make_plugins() -> type[FakePlugins]:
    return FakePlugins


@pytest.fixture
def make_pairs() -> type[Pairs]:
    return Pairs


@pytest.fixture
def make_picture() -> Any:
    return picture


@pytest.fixture
def small_input() -> InputConfig:
    return InputConfig(image_size=(16, 16), mean=(0.5,), std=(0.25,), interpolation="bilinear", crop_pct=0.9)


@pytest.fixture
def make_data() -> type[DataSpec]:
    return DataSpec


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("KD_CACHE", str(cache))
    return cache


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """`images/{train,val}/{ant,bee,cat}/*.png`: 4 and 2 images of each class, and other files."""
    root = tmp_path / "images"
    number = 0
    for split, count in (("train", 4), ("val", 2)):
        for name in ("ant", "bee", "cat"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for position in range(count):
                picture(number).save(folder / f"{position}.png")
                number += 1
            (folder / "notes.txt").write_text("not an image")
            (folder / "._0.png").write_bytes(b"not an image either")
        (root / split / ".hidden").mkdir()
    return root


@pytest.fixture(params=["fork", "forkserver", "spawn"])
def start_method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each way in which loader processes are started; spawn is the default on macOS and Windows."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(request.param, force=True)
    yield request.param
    multiprocessing.set_start_method(before, force=True)

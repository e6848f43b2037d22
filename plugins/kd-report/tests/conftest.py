"""Runs without training: files of a run directory, predictions made up; a reader of pages; the command line."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from kdcore import Predictions, RunDirectory
from kdcore.cli import main
from kdcore.plugin import get_plugins

MakeRun = Callable[..., RunDirectory]
MakeOpened = Callable[..., Any]


def _record(epoch: int, epochs: int, teacher: bool, labelled: bool) -> dict[str, Any]:
    done = epoch / epochs
    found: dict[str, Any] = {
        "epoch": epoch,
        "lr": 0.1 * (1 - done) + 1e-4,
        "loss": 5.0 / epoch,
        "task_loss": 2.0 / epoch,
        "terms": {"dkd.tckd": 1.5 / epoch, "dkd.nckd": 1.5 / epoch**0.5} if teacher else {},
        "train": {"top1": 40 + 30 * done, "top5": 90.0} if labelled else {"top1": None, "top5": None},
        "eval": {"top1": 30 + 40 * done, "top5": 80 + 15 * done} if labelled else {},
        "images_per_second": 512.0,
    }
    found["ema"] = {"top1": 20 + 52 * done} if labelled else {}
    if teacher:
        found["eval"]["agreement"] = 35 + 40 * done
    return found


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes the files of a finished run."""

    def make(
        name: str = "pair",
        *,
        classes: int = 10,
        teacher: bool = True,
        labelled: bool = True,
        epochs: int = 12,
        status: str = "finished",
        seed: int = 0,
        top1: float = 70.0,
        **spec: Any,
    ) -> RunDirectory:
        run = RunDirectory(tmp_path / "runs" / name)
        student = {"model": "resnet10t", "pretrained": False, "options": {"channels": [8, 8, 16, 16]}}
        said: dict[str, Any] = {
            "name": name,
            "seed": seed,
            "output": str(tmp_path / "runs"),
            "data": {
                "dataset": "/data/birds",
                "train_split": "train",
                "eval_split": "test",
                "image_size": 32,
            },
            "teacher": {"model": "resnet34", "run": "/specs/teacher.json"} if teacher else None,
            "student": student,
            "distiller": {"name": "dkd", "alpha": 1.0, "beta": 8.0} if teacher else {"name": "vanilla"},
            "task": {"weight": 1.0},
            "train": {"epochs": epochs, "batch_size": 64, "precision": "fp32", "ema": 0.9},
            "optimizer": {"name": "sgd", "lr": 0.1, "weight_decay": 5e-4},
            "scheduler": {"name": "cosine"},
        }
        run.begin({**said, **spec}, {"kdcore": "0.1.0", "packages": {"torch": "2.9"}})
        run.write_metrics([_record(e, epochs, teacher, labelled) for e in range(1, epochs + 1)])
        summary: dict[str, Any] = {
            "status": status,
            "student": {"model": "resnet10t", "parameters": 78_042, "top1": top1, "top5": 95.0},
            "teacher": {"model": "resnet34", "parameters": 21_300_000, "top1": 90.0, "top5": 99.0},
            "data": {"num_classes": classes, "train_size": 4000, "eval_size": 400, "image_size": [32, 32]},
            "epochs": epochs,
            "wall_seconds": 192.0,
            "images_per_second": 512.0,
        }
        summary["student"] |= {
            "best_top1": top1 + 1,
            "best_epoch": 3,
            "agreement": 75.0,
            "ema": {"top1": 72.0},
        }
        if not labelled:
            summary["student"] = {"model": "resnet10t", "parameters": 78_042, "top1": None, "agreement": 75.0}
            summary["teacher"] |= {"top1": None, "top5": None}
        if not teacher:
            summary["teacher"] = None
            summary["student"]["agreement"] = None
        run.write_summary(summary)
        return run

    return make


class Opened:
    """What a report reads of an opened run; two of them are never equal."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


class SomeImages(list[int]):
    """Images that are not looked at."""

    stream = False
    labels = None
    label_sets = None


def made_up(classes: int, images: int, seed: int, labelled: bool = True) -> Predictions:
    """A model that is right more often than not; the images are the same for every seed."""
    shared = torch.Generator().manual_seed(0)
    target = torch.randint(0, classes, (images,), generator=shared)
    own = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, classes, generator=own)
    logits[torch.arange(images), target] += 3.0
    centres = torch.randn(classes, 12, generator=shared)
    embedding = centres[target] + 0.6 * torch.randn(images, 12, generator=own)
    shown = target if labelled else torch.full_like(target, -1)
    return Predictions(logits, shown, torch.arange(images), embedding)


@pytest.fixture
def make_opened() -> MakeOpened:
    """What `open_run` would give, with predictions that are made up."""

    def make(
        run: RunDirectory,
        *,
        classes: int = 10,
        images: int = 400,
        teacher: bool = True,
        labelled: bool = True,
        names: tuple[str, ...] | None = None,
        missing: str | None = None,
        whole: SomeImages | None = None,
        **changes: Any,
    ) -> Any:
        student = made_up(classes, images, 1, labelled)
        guide = made_up(classes, images, 2, labelled) if teacher else None
        source = SomeImages(range(images))
        return Opened(
            **{
                "directory": run,
                "student": SimpleNamespace(
                    thresholds=None,
                    num_classes=classes,
                    classes=names or tuple(f"class number {k}" for k in range(classes)),
                    is_encoder=False,
                ),
                "teacher": SimpleNamespace(missing=missing),
                "images": SimpleNamespace(whole=whole or source, chosen=source),
                "predictions": (student, guide),
                "image": lambda position: Image.new("RGB", (32, 32), (position % 256, 90, 40)),
                **changes,
            }
        )

    return make


@pytest.fixture
def predictions() -> Callable[..., Predictions]:
    """`(classes, images, seed, labelled=True)`: predictions of a model that is right more often than not."""
    return made_up


@pytest.fixture
def images_of() -> Callable[[int], SomeImages]:
    """A number of images that are not looked at."""
    return lambda number: SomeImages(range(number))


VOID = {"meta", "img", "br", "wbr", "link"}
NOT_WRITTEN = re.compile(r"(?<![\w-])(nan|inf|None|undefined)(?![\w-])")


class Page(HTMLParser):
    """Reads a page and complains where it is not well formed, reaches elsewhere or shows what is no number."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open
        assert len(set(self.ids)) == len(self.ids)
        assert {anchor[1:] for anchor in self.anchors} <= set(self.ids)
        shown = " ".join(self.words)
        found = NOT_WRITTEN.search(shown)
        assert found is None, shown[max(0, found.start() - 60) : found.end() + 20]

    @property
    def text(self) -> str:
        """What is read, in one line."""
        return " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        assert tag not in {"script", "link", "iframe", "object"}
        assert not any(name.startswith("on") for name in given)
        if "id" in given:
            self.ids.append(str(given["id"]))
        for name in ("src", "href"):
            target = given.get(name)
            if target is None:
                continue
            if tag == "a":
                (self.anchors if target.startswith("#") else self.links).append(target)
            else:
                assert target.startswith("data:image/"), target
        if tag == "img":
            assert given.get("alt")
        if tag == "svg":
            assert given.get("aria-label") or given.get("aria-hidden") == "true"
        for name, value in given.items():
            if name not in {"alt", "aria-label", "href", "src", "title"}:
                assert not NOT_WRITTEN.search(value or "") or name == "class", (tag, name, value)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in {"style", "pre"}:
            if self.tags and self.tags[-1] == "wbr":  # a place where a word may be broken is no end of it
                data = self.words.pop() + data
                self.tags.append("")
            self.words.append(data)
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data


@pytest.fixture
def read_page() -> type[Page]:
    """Reads the text of a page, and checks what every page has to keep."""
    return Page


@pytest.fixture
def fresh_plugins() -> Iterator[None]:
    """The plugins are looked for again, before and after."""
    get_plugins.cache_clear()
    yield
    get_plugins.cache_clear()


@pytest.fixture
def add_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Installs a fake distribution, version 1.0, with one module that is its entry module too."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    added = []

    def add(name: str, code: str) -> None:
        module = name.replace("-", "_")
        added.append(module)
        (site / f"{module}.py").write_text(code)
        folder = site / f"{module}-1.0.dist-info"
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[kdcore]\n{name} = {module}\n")
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        get_plugins.cache_clear()

    yield add
    get_plugins.cache_clear()
    for module in added:
        sys.modules.pop(module, None)


@pytest.fixture
def kd(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run `kd` in this process."""

    def call(*arguments: object) -> Any:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return SimpleNamespace(code=ended.value.code or 0, out=out, err=err)

    return call

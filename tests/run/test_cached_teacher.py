"""Runs with a teacher cache: filled ahead, filled on the way, shared, stopped, and refused."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from kdcore import ModelOutput, UserError, run
from kdcore.distill.teacher_passes import TeacherPasses
from kdcore.errors import Interrupted, Problem
from kdcore.run import fingerprint
from kdcore.run.cached_teacher import CachedTeacher
from kdcore.run.fill_cache import cache_teacher
from kdcore.run.kept_evaluation import KeptEvaluation
from kdcore.run.signals import StopRequest
from kdcore.teacher_cache.cache import TeacherCache
from kdcore.teacher_cache.listing import look_at

OPEN_FILES = Path("/proc/self/fd")
KD = {"name": "kd"}
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
VIT = {
    "model": "vit_tiny_patch16_224",
    "small_input": True,
    "options": {"embed_dim": 16, "num_heads": 2, "depth": 4},
}


def _cache(augmentations: int = 2, **changes: Any) -> dict[str, Any]:
    return {"augmentations": augmentations, "dtype": "float32", "folder": "shared", **changes}


def _weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_file(directory / "student" / "model.safetensors")


def _distance(one: Path, other: Path) -> float:
    first, second = _weights(one), _weights(other)
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that the teacher is asked for."""
    sizes: list[int] = []
    forward = TeacherPasses.compute

    def counted(self: TeacherPasses, images: torch.Tensor, whole: bool = False) -> Any:
        sizes.append(len(images))
        return forward(self, images, whole)

    monkeypatch.setattr(TeacherPasses, "compute", counted)
    return sizes


FEATURES = [{"name": "fitnet"}, {"name": "crd", "negatives": 8}, {"name": "ofa"}, {"name": "rkd"}]


@pytest.mark.parametrize(
    ("distiller", "teacher", "train"),
    [
        pytest.param(KD, TEACHER, {}, id="kd"),
        pytest.param(FEATURES, TEACHER, {}, id="features"),
        pytest.param(FEATURES, VIT, {}, id="tokens"),
        # a grid of 1x1 would not do: torch's bf16 convolution leaves weights of its border undefined there
        pytest.param(FEATURES, VIT, {"precision": "bf16"}, id="tokens-bf16"),
    ],
)
def test_a_filled_cache_stands_in_for_the_teacher(spec_file, asked, distiller, teacher, train):
    changes = {
        "teacher": teacher,
        "student": {"small_input": True},
        "distiller": distiller,
        "task": {"weight": 1.0},
        "train": train,
        # at a high rate these few steps are chaotic: a rounding of the teacher's grows to another student
        "optimizer": {"lr": 0.001},
    }
    live = run(spec_file("live", **changes), quiet=True)
    cached_spec = spec_file("cached", **changes, teacher_cache=_cache())
    filled = cache_teacher(cached_spec, quiet=True)
    assert (filled.rows, filled.computed) == (80, 80)
    assert filled.path.parent == cached_spec.parent / "shared"
    asked.clear()
    cached = run(cached_spec, quiet=True)
    assert asked == []
    # in bf16 the two differ by the rounding of the teacher's batches of another size
    assert _distance(live.directory, cached.directory) < (1e-4 if not train else 1e-3)
    for one, other in zip(live.metrics, cached.metrics, strict=True):
        assert other["terms"] == pytest.approx(one["terms"], rel=1e-4 if not train else 5e-2)


def test_where_an_epoch_lacks_some_images_only_what_is_missing_is_computed(spec_file, asked):
    spec = {
        "data": {"sampling": "balanced", "augment": {"crop": "none"}},
        "teacher": TEACHER,
        "distiller": KD,
        "train": {"epochs": 4, "batch_size": 16},
        "optimizer": {"lr": 0.001},
    }
    live = run(spec_file("live", **spec), quiet=True)
    asked.clear()
    cached = run(spec_file("cached", **spec, teacher_cache=_cache(1)), quiet=True)
    assert asked[0] == 16
    assert asked[-1] < 16  # in steps of an eighth of a batch
    assert {size % 2 for size in asked} == {0}
    assert 40 <= sum(asked) < 40 + 2 * len(asked)  # each row once, and what they are rounded up by
    # without augmentation, all epochs see the images of the cache
    assert _distance(live.directory, cached.directory) < 1e-4


def test_another_process_may_fill_the_rows_between_two_looks():
    computed = []

    def compute(images, whole):
        computed.append(len(images))
        return ModelOutput(logits=images.flatten(1))

    def write(epoch, index, output, places):
        assert (len(places), len(output.logits)) == (0, 2)
        return stored

    stored = ModelOutput(logits=torch.ones(16, 3))
    nothing = torch.zeros(0, dtype=torch.int64)
    cache = SimpleNamespace(read=lambda *_: None, missing_of=lambda *_: nothing, write=write)
    accelerator = SimpleNamespace(autocast=contextlib.nullcontext, device=torch.device("cpu"))
    teacher = CachedTeacher(cache, SimpleNamespace(compute=compute), accelerator, in_part=True)
    assert teacher(0, torch.zeros(16, 3, 1, 1), torch.arange(16)) is stored
    assert computed == [2]


def test_the_first_epochs_fill_it_and_the_others_read_it(spec_file, asked):
    spec = {"teacher": TEACHER, "distiller": KD, "train": {"epochs": 6, "batch_size": 40}}
    first = run(spec_file("first", **spec, teacher_cache=_cache(dtype="float16")), quiet=True)
    assert asked == [40, 40]
    # another student and another method, in another folder for its runs
    other = {"student": {"options": {"channels": [8, 16, 16, 24]}}, "distiller": {"name": "dkd"}}
    run(spec_file("second", **{**spec, **other}, teacher_cache=_cache(dtype="float16")), quiet=True)
    assert asked == [40, 40]
    again = run(spec_file("again", **spec, teacher_cache=_cache(dtype="float16")), quiet=True)
    assert asked == [40, 40]
    assert _distance(first.directory, again.directory) == 0  # filled on the way or before: the same numbers


def test_the_teachers_logits_for_the_evaluation_are_kept(spec_file, monkeypatch: pytest.MonkeyPatch):
    asked: list[int] = []
    forward = KeptEvaluation.forward

    def counted(self: KeptEvaluation, images: torch.Tensor) -> torch.Tensor:
        hook = self.model.register_forward_hook(lambda *_: asked.append(len(images)))
        try:
            return forward(self, images)
        finally:
            hook.remove()

    monkeypatch.setattr(KeptEvaluation, "forward", counted)
    spec = {"teacher": TEACHER, "distiller": KD, "train": {"epochs": 1, "batch_size": 40}}
    spec["data"] = {"eval_fraction": 0.25, "test_split": "test"}

    def summary(name: str, **changes: Any) -> dict[str, Any]:
        asked.clear()
        found = run(spec_file(name, **{**spec, **changes}, teacher_cache=_cache(1)), quiet=True).summary
        return {part: found[part] for part in ("teacher", "test", "student")}

    live = run(spec_file("live", **spec), quiet=True).summary
    first = summary("first")
    assert asked
    assert (first["teacher"], first["test"]["teachers"]) == (live["teacher"], live["test"]["teachers"])
    assert summary("second") == first
    assert asked == []
    # other images are other batches, and a damaged file is computed again
    summary("fewer", data={"eval_fraction": 0.25, "eval_samples": 7, "test_split": "test"})
    assert asked == [7]
    (folder,) = (spec_file("where").parent / "shared").glob("*/evaluation")
    for file in folder.iterdir():
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    assert summary("third") == first
    assert asked
    assert look_at(folder.parent).bytes_used > sum(file.stat().st_size for file in folder.iterdir())
    shutil.rmtree(folder)
    folder.write_text("no folder")  # nothing can be written: it costs time only
    assert summary("fourth") == first


def test_another_teacher_or_other_images_are_not_taken_for_it(spec_file, asked):
    spec = {"teacher": TEACHER, "distiller": KD, "train": {"epochs": 1, "batch_size": 40}}
    run(spec_file("one", **spec, teacher_cache=_cache(1)), quiet=True)
    for number, change in enumerate(
        ({"seed": 1}, {"data": {"image_size": 20}}, {"data": {"train_samples": 50}})
    ):
        asked.clear()
        run(spec_file(f"other-{number}", **spec, **change, teacher_cache=_cache(1)), quiet=True)
        assert asked == [40], change


def _folder(place: Path, levels: range) -> None:
    """Images of two classes, each of one grey level, as files of one size."""
    for number, level in enumerate(levels):
        file = place / "train" / ("even", "odd")[number % 2] / f"{number:03}.bmp"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (level, level, level)).save(file)


def test_images_replaced_under_the_same_names_are_other_images(
    spec_file, asked, monkeypatch: pytest.MonkeyPatch
):
    looked: list[Any] = []
    look = fingerprint.split_fingerprint
    monkeypatch.setattr(
        fingerprint, "split_fingerprint", lambda split: (looked.append(split), look(split))[1]
    )
    data = {
        "dataset": "photos",
        "train_split": "train",
        "eval_split": "train",
        "train_samples": None,
        "eval_samples": 2,
    }
    spec = {"data": data, "teacher": TEACHER, "distiller": KD, "train": {"epochs": 1, "batch_size": 40}}
    path = spec_file("own", **spec, teacher_cache={"augmentations": 1})
    _folder(path.parent / "photos", range(80))
    run(path, quiet=True)
    assert len(looked) == 2  # each split once, for the cache and the checkpoint together
    asked.clear()
    run(path, existing="fresh", quiet=True)
    assert asked == []
    # between those that are augmented for the identity
    Image.new("RGB", (16, 16), "white").save(path.parent / "photos" / "train" / "even" / "008.bmp")
    run(path, existing="fresh", quiet=True)
    assert asked == [40, 40]
    assert len(list((path.parent / "runs" / "own" / "teacher-cache").glob("*/manifest.json"))) == 2


def test_edited_code_is_another_teacher(spec_file, asked, monkeypatch: pytest.MonkeyPatch):
    spec = {"teacher": TEACHER, "distiller": KD, "train": {"epochs": 1, "batch_size": 40}}
    first = run(spec_file("before", **spec, teacher_cache=_cache(1)), quiet=True)
    monkeypatch.setattr(fingerprint, "_files_of", lambda cls: f"edited {cls}")
    asked.clear()
    again = run(spec_file("after", **spec, teacher_cache=_cache(1)), quiet=True)
    assert asked == [40]
    assert _distance(first.directory, again.directory) == 0
    # also for its logits of the evaluation
    assert len(list((spec_file("where").parent / "shared").glob("*/evaluation/*.npz"))) == 2


def test_in_the_run_directory_it_outlives_fresh(spec_file, asked):
    path = spec_file(teacher=TEACHER, distiller=KD, teacher_cache={"augmentations": 2})
    cache_teacher(path, quiet=True)
    first = run(path, quiet=True)
    asked.clear()
    again = run(path, existing="fresh", quiet=True)
    assert asked == []
    assert (first.directory / "teacher-cache").is_dir()
    assert _weights(first.directory).keys() == _weights(again.directory).keys()


def test_a_stopped_run_goes_on_to_the_same_weights(spec_file, monkeypatch: pytest.MonkeyPatch):
    spec = {"teacher": TEACHER, "distiller": KD, "train": {"epochs": 3, "batch_size": 8}}
    whole = run(spec_file("whole", **spec, teacher_cache={"augmentations": 2}), quiet=True)
    path = spec_file("stopped", **spec, teacher_cache={"augmentations": 2})
    import kdcore.run.loop as loop

    update, steps = loop.Training.take_step, []

    def stopping(self: Any) -> None:
        update(self)
        steps.append(1)
        if len(steps) == 3:
            import signal

            self.context.stop.signal = signal.SIGTERM

    with monkeypatch.context() as patch:
        patch.setattr(loop.Training, "take_step", stopping)
        with pytest.raises(Interrupted):
            run(path, quiet=True)
    # what later steps of the killed process would have kept beyond the checkpoint changes nothing either
    cache_teacher(path, quiet=True)
    resumed = run(path, quiet=True)
    assert _distance(whole.directory, resumed.directory) < 1e-4
    shutil.rmtree(resumed.directory)


def test_filling_goes_on_where_it_was_stopped(spec_file, asked, monkeypatch: pytest.MonkeyPatch):
    import signal

    from kdcore.run import fill_cache

    monkeypatch.setattr(fill_cache, "BATCH", 8)
    path = spec_file(teacher=TEACHER, distiller=KD, teacher_cache=_cache())
    asked_twice = property(lambda self: signal.SIGINT if len(asked) >= 2 else None, lambda self, value: None)
    with monkeypatch.context() as patch:
        patch.setattr(StopRequest, "signal", asked_twice, raising=False)
        with pytest.raises(Interrupted, match=r"SIGINT: 16 of 80 rows are saved") as stopped:
            cache_teacher(path, quiet=True)
    assert stopped.value.exit_code == 130
    asked.clear()
    result = cache_teacher(path, quiet=True)
    assert (result.rows, result.computed, sum(asked)) == (80, 64, 64)
    assert cache_teacher(path, quiet=True).computed == 0


def test_top_k_keeps_the_largest_logits(spec_file):
    spec = {"teacher": TEACHER, "distiller": KD}
    run(spec_file("sparse", **spec, teacher_cache=_cache(top_k=3)), quiet=True)
    with pytest.raises(
        UserError, match=r"(?s)teacher_cache\.top_k.*keep all of them.*got 10.*allowed: 1 to 9"
    ):
        run(spec_file("all", **spec, teacher_cache=_cache(top_k=10)), quiet=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher": TEACHER, "distiller": "vanilla"}, "no distiller of this run reads the teacher"),
        ({"distiller": "vanilla"}, "there is no teacher"),
        ({"teacher": TEACHER, "distiller": KD, "data": {"mixup": 0.2}}, r"data\.mixup: mixed images are new"),
        ({"teacher": TEACHER, "distiller": KD, "teacher_cache": {}}, r"teacher_cache\.augmentations"),
        (
            {"teacher": TEACHER, "distiller": KD, "teacher_cache": _cache(dtype="float8")},
            "float16",
        ),
    ],
)
def test_what_cannot_be_cached_is_refused(spec_file, changes, message):
    with pytest.raises(UserError, match=message):
        run(spec_file(**{"teacher_cache": _cache(), **changes}), quiet=True)


def test_a_disk_that_is_too_small_is_told_before_training(spec_file, monkeypatch: pytest.MonkeyPatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    path = spec_file(teacher=TEACHER, distiller=KD, teacher_cache=_cache())
    with pytest.raises(UserError, match="augmentations"):
        run(path, quiet=True)
    assert not (path.parent / "runs").exists()


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="this system has no list of open files")
def test_runs_in_one_process_leave_no_file_open(spec_file, monkeypatch: pytest.MonkeyPatch):
    def files() -> int:
        gc.collect()  # the maps of the rows
        return len(list(OPEN_FILES.iterdir()))

    teachers = [{"name": name, **TEACHER} for name in ("one", "other")]
    spec = {"teacher": teachers, "distiller": {**KD, "teacher": "mean"}, "teacher_cache": _cache(1)}
    run(spec_file("first", **spec), quiet=True)
    before = files()
    run(spec_file("second", **spec), quiet=True)
    assert files() == before
    opened = TeacherCache.open

    def once(*arguments: Any) -> TeacherCache:
        monkeypatch.setattr(TeacherCache, "open", full)
        return opened(*arguments)

    def full(*arguments: Any) -> TeacherCache:
        raise UserError(Problem("teacher_cache", "the disk is full"))

    monkeypatch.setattr(TeacherCache, "open", once)
    with pytest.raises(UserError, match="full"):
        run(spec_file("third", **spec), quiet=True)
    assert files() == before


def test_a_disk_that_takes_no_more_at_the_end_is_a_warning(
    spec_file, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def full(cache: TeacherCache) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(TeacherCache, "close", full)
    spec = {"teacher": TEACHER, "distiller": KD, "train": {"epochs": 1}}
    assert run(spec_file(**spec, teacher_cache=_cache(1))).summary["status"] == "finished"
    assert "cannot be written: No space left" in capsys.readouterr().err


def test_there_has_to_be_something_to_fill(spec_file):
    with pytest.raises(UserError, match="no cache to fill"):
        cache_teacher(spec_file(teacher=TEACHER, distiller=KD), quiet=True)


def test_the_size_is_told(spec_file, capsys: pytest.CaptureFixture[str]):
    path = spec_file(teacher=TEACHER, distiller=KD, teacher_cache=_cache())
    run(path)
    shown = capsys.readouterr().err
    assert "for 2 augmentations of 40 samples" in shown
    assert "0 of 80 rows filled" in shown
    spec = json.loads((path.parent / "runs" / "tiny" / "spec.json").read_text())
    assert spec["teacher_cache"]["folder"] == str(path.parent / "shared")

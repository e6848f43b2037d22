from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from kdcore.rundir import checkpoints as checkpoint
from kdcore.rundir.checkpoints import Checkpoints
from kdcore.rundir.statefile import Damaged


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


def _state(step: int) -> dict[str, object]:
    return {"step": step, "weights": torch.full((4,), float(step))}


def _names(checkpoints: Checkpoints) -> list[str]:
    return sorted(path.name for path in checkpoints.folder.iterdir())


def test_nothing_saved_is_nothing_loaded(checkpoints: Checkpoints):
    assert checkpoints.load(pytest.fail) is None


def test_the_last_two_and_the_best_are_kept(checkpoints: Checkpoints):
    for step in (1, 2, 9, 10):
        checkpoints.save(step, _state(step))
        checkpoints.save_best(_state(step), {"epoch": step, "top1": 50.0})
    assert _names(checkpoints) == ["best", "step-00000009", "step-00000010"]
    newest = checkpoints.load(pytest.fail)
    assert newest is not None
    assert newest["step"] == 10
    assert torch.equal(checkpoints.load_best()["weights"], torch.full((4,), 10.0))
    manifest = json.loads((checkpoints.folder / "best" / "manifest.json").read_text())
    assert (manifest["epoch"], manifest["top1"]) == (10, 50.0)


@pytest.mark.parametrize("name", ["state.safetensors", "manifest.json"])
@pytest.mark.parametrize("damage", ["truncate", "empty", "flip", "delete"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_used(
    checkpoints: Checkpoints, name: str, damage: str
):
    for step in (1, 2):
        checkpoints.save(step, _state(step))
    path = checkpoints.folder / "step-00000002" / name
    content = bytearray(path.read_bytes())
    if damage == "delete":
        path.unlink()
    elif damage == "flip":
        content[0] ^= 0xFF
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2] if damage == "truncate" else b"")
    told: list[str] = []
    state = checkpoints.load(told.append)
    assert state is not None
    assert state["step"] == 1
    assert len(told) == 1
    assert "step-00000002" in told[0]
    assert name in told[0]


@pytest.mark.parametrize(
    ("damaged", "saved", "kept"),
    [
        ((100, 200), (10, 20, 30), (20, 30)),  # the run began again
        ((200,), (150, 180), (150, 180)),
        ((200,), (250,), (100, 250)),
        ((200,), (200,), (100, 200)),
    ],
)
def test_damaged_checkpoints_do_not_take_the_place_of_complete_ones(
    checkpoints: Checkpoints, damaged: tuple[int, ...], saved: tuple[int, ...], kept: tuple[int, ...]
):
    for step in (100, 200):
        checkpoints.save(step, _state(step))
    for step in damaged:
        (checkpoints.folder / f"step-{step:08d}" / "manifest.json").unlink()
    again = Checkpoints(checkpoints.folder)
    again.load(lambda text: None)
    for step in saved:
        again.save(step, _state(step))
        newest = again.peek(pytest.fail)
        assert newest is not None
        assert newest["step"] == step
    assert _names(again) == [f"step-{step:08d}" for step in kept]


def _damages(content: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut off at, and with a bit flipped in, some 40 places of a file."""
    size = len(content)
    places = {number * size // 32 for number in range(32)} | set(range(min(8, size))) | {size - 1}
    for number, place in enumerate(sorted(places)):
        yield f"cut to {place} bytes", content[:place]
        flipped = bytearray(content)
        flipped[place] ^= 1 << number % 8
        yield f"bit {number % 8} of byte {place} flipped", bytes(flipped)


def test_no_damage_to_any_file_is_taken_for_a_state(checkpoints: Checkpoints):
    states = {step: _state(step) | {"optimizer": {0: [None, "text", (1, 2.5)]}} for step in (1, 2)}
    for step, state in states.items():
        checkpoints.save(step, state)
        checkpoints.save_best(state, {"epoch": step, "top1": 50.0})
    tried = 0
    for path in sorted(path for path in checkpoints.folder.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        newest = path.parent.name == "step-00000002"
        for what, content in _damages(whole):
            path.write_bytes(content)
            told: list[str] = []
            found = checkpoints.load(told.append)
            assert found is not None, (path, what)
            # what was saved, all of it: of the newest, or with a word that the newest is damaged
            step = found["step"]
            assert step == (1 if told else 2), (path, what)
            assert torch.equal(found["weights"], states[step]["weights"]), (path, what)
            assert found["optimizer"] == states[step]["optimizer"], (path, what)
            assert newest or not told, (path, what)
            if path.parent.name == "best":
                with contextlib.suppress(Damaged):
                    assert checkpoints.load_best()["step"] == 2, what
            tried += 1
        path.write_bytes(whole)
    assert tried > 300


def test_no_whole_checkpoint_is_nothing_loaded(checkpoints: Checkpoints):
    checkpoints.save(1, _state(1))
    (checkpoints.folder / "step-00000001" / "manifest.json").write_text("[]")
    told: list[str] = []
    assert checkpoints.load(told.append) is None
    assert len(told) == 1


def test_more_steps_than_eight_digits_come_last(checkpoints: Checkpoints):
    for step in (99_999_999, 100_000_000):
        checkpoints.save(step, _state(step))
    newest = checkpoints.load(pytest.fail)
    assert newest is not None
    assert newest["step"] == 100_000_000


def test_a_missing_best_is_said(checkpoints: Checkpoints):
    with pytest.raises(Damaged):
        checkpoints.load_best()


def test_a_failed_write_leaves_what_was_there_and_nothing_else(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
):
    checkpoints.save(1, _state(1))

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write_state", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save(2, _state(2))
    assert _names(checkpoints) == ["step-00000001"]


@pytest.mark.parametrize("killed_at", ["first rename", "second rename"])
def test_a_kill_while_the_best_is_replaced_loses_neither(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, killed_at: str
):
    checkpoints.save(1, _state(1))
    checkpoints.save_best(_state(1), {})
    rename, calls = Path.rename, []

    class Kill(BaseException):
        pass

    def killing(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == (1 if killed_at == "first rename" else 2):
            raise Kill
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", killing)
    with pytest.raises(Kill):
        checkpoints.save_best(_state(2), {})
    monkeypatch.undo()
    assert checkpoints.load(pytest.fail) is not None
    assert checkpoints.load_best()["step"] == 1
    assert _names(checkpoints) == ["best", "step-00000001"]

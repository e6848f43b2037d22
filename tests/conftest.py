from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import runpy
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kdcore.plugins import installers, sources

SpecFile = Callable[..., Path]

# what a run imports; each process that is forked after it saves six seconds
PRELOADED = ["torch", "torchvision", "timm", "accelerate", "sklearn.datasets", "kdcore.run.run"]
multiprocessing.set_forkserver_preload(PRELOADED)
FORKED = Path(__file__).with_name("forked_kd.py")
PATHS = [entry for entry in sys.path if entry]  # before any test adds to them


def _merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        deeper = (
            isinstance(value, dict)
            and isinstance(merged.get(key), dict)
            and key not in ("distiller", "options")
        )
        merged[key] = _merge(merged[key], value) if deeper else value
    return merged


@pytest.fixture(autouse=True)
def from_an_index_by_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands in messages are those for kd from an index, in an activated environment that has pip."""
    monkeypatch.setattr(installers, "_has_pip", lambda: True)
    monkeypatch.setattr(installers, "_pip_is_of_this", lambda: True)
    monkeypatch.setattr(sources, "_origin", lambda: None)


@pytest.fixture
def spec_file(tmp_path: Path) -> SpecFile:
    """Writes a spec that runs in a second: a narrow ResNet on a few digits; keywords change its sections."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")

    def write(name: str = "tiny", **changes: Any) -> Path:
        narrow = {"channels": [8, 8, 16, 16]}
        spec: dict[str, Any] = {
            "data": {
                "dataset": "digits",
                "image_size": 16,
                "train_samples": 40,
                "eval_samples": 50,
                "workers": 0,
                "augment": {"hflip": 0.0, "padding": 1},
            },
            "student": {"model": "resnet10t", "options": narrow},
            "distiller": "vanilla",
            "train": {"epochs": 2, "batch_size": 16},
            "optimizer": {"lr": 0.02},
        }
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(_merge(spec, changes)))
        return path

    return write


class ForkedKd:
    """`python -m kdcore` in a process forked from one that has imported torch and timm; the rest is as for Popen."""

    def __init__(
        self,
        arguments: list[str],
        environment: Mapping[str, str],
        out: Path,
        err: Path,
        together: list[ForkedKd],
    ) -> None:
        self._files = out, err
        self._together = together
        self._arguments = arguments
        request = {
            "arguments": arguments,
            "environment": dict(environment),
            "paths": PATHS,
            "folder": str(Path.cwd()),
            "out": str(out),
            "err": str(err),
        }
        context = multiprocessing.get_context("forkserver")
        self._process = context.Process(
            target=runpy.run_path, args=(str(FORKED),), kwargs={"init_globals": {"REQUEST": request}}
        )
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        self._process.join(timeout)
        if self._process.exitcode is None:
            running = [one for one in self._together if one.poll() is None]
            for one in running:
                one.send_signal(signal.SIGUSR1)
            time.sleep(1)
            texts = [text for one in running for text in one._texts()]
            raise AssertionError(f"{self._arguments} still runs after {timeout} s:\n" + "\n".join(texts))
        out, err = self._texts()
        return out, err

    def _texts(self) -> list[str]:
        return [file.read_text("utf-8") if file.exists() else "" for file in self._files]

    def end(self) -> None:
        self._process.kill()
        self._process.join()


@pytest.fixture
def free_port() -> Iterator[Callable[[], int]]:
    """Ports at which processes can meet, and which nobody else gets before.

    A socket keeps each port: the system gives it to none that asks for any port. Whoever names the port can listen at
    it, since this socket does not, and both allow that the address is used again, as `TCPStore` does.
    """
    with contextlib.ExitStack() as kept:

        def find() -> int:
            found = kept.enter_context(socket.socket())
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(("", 0))  # at each address, as `TCPStore` listens
            return int(found.getsockname()[1])

        yield find


@pytest.fixture(scope="session")
def fork_kd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., ForkedKd]]:
    """Starts `kd` with arguments and variables; `together`: both streams in one text, the first."""
    if sys.platform != "linux":
        pytest.skip("libraries survive a fork on Linux only")
    folder, numbers, started = tmp_path_factory.mktemp("forked"), itertools.count(), list[ForkedKd]()

    def start(*arguments: object, environment: Mapping[str, str], together: bool = False) -> ForkedKd:
        number = next(numbers)
        out = folder / f"{number}.out"
        err = out if together else folder / f"{number}.err"
        started.append(ForkedKd([*map(str, arguments)], environment, out, err, started))
        return started[-1]

    yield start
    for process in started:
        process.end()

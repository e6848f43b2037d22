"""What a launcher and its fork server send each other: packets of JSON, with file descriptors for a run."""

from __future__ import annotations

import json
import select
import socket
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST: Final = 1 << 17  # bytes of a packet


@dataclass(frozen=True)
class StartRun:
    """Start a run. With it come two file descriptors: its standard input, and its log.

    Attributes:
        name: of the job.
        arguments: of `kd`.
        folder: the working folder.
        environment: variables that differ from those of the server.
    """

    name: str
    arguments: tuple[str, ...]
    folder: str
    environment: dict[str, str]


@dataclass(frozen=True)
class RunStarted:
    """The server forks for the run now; `RunRefused` may still follow.

    It is sent before the fork, so that a run is not started twice if the server is killed after it.
    """

    name: str


@dataclass(frozen=True)
class RunRefused:
    """The server cannot fork, or not safely: a thread runs, a device is in use, an import failed, or memory is full."""

    name: str


@dataclass(frozen=True)
class RunEnded:
    """The run has ended with this exit code; negative: the signal that ended it."""

    name: str
    code: int


Message = StartRun | RunStarted | RunRefused | RunEnded
_KINDS: Final[dict[str, type[Any]]] = {
    kind.__name__: kind for kind in (StartRun, RunStarted, RunRefused, RunEnded)
}


def send(connection: socket.socket, message: Message, descriptors: Sequence[int] = ()) -> None:
    """Send a message, and copies of these file descriptors.

    Raises:
        OSError: the other side is gone.
    """
    data = json.dumps([type(message).__name__, asdict(message)]).encode()
    socket.send_fds(connection, [data], descriptors)


def receive(connection: socket.socket, *, wait: bool) -> tuple[Message, list[int]] | None:
    """The next message, with its file descriptors; None if the other side is gone.

    Raises:
        BlockingIOError: there is none now, and `wait` is false.
    """
    if (
        not wait and not select.select([connection], [], [], 0)[0]
    ):  # recv_fds of Python 3.11 ignores its flags
        raise BlockingIOError
    try:
        data, descriptors = _packet(connection)
    except ConnectionError:
        return None
    if not data:
        return None
    kind, fields = json.loads(data)
    if kind == StartRun.__name__:
        fields["arguments"] = tuple(fields["arguments"])
    return _KINDS[kind](**fields), descriptors


def _packet(connection: socket.socket) -> tuple[bytes, list[int]]:
    """The next packet.

    If the other side has died with packets that it had not read, Linux says this first, and only once: what it had sent
    is still there.
    """
    try:
        data, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 2)
    except ConnectionError:
        data, descriptors, _, _ = socket.recv_fds(connection, _LONGEST, 2)
    return data, descriptors

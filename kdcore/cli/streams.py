"""Standard output and error of a command: there is always one, results stand alone, nothing is obeyed by a terminal."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from kdcore.errors import KdError
from kdcore.terminal import SafeStream

if TYPE_CHECKING:
    from collections.abc import Iterator


class OutputLost(KdError):
    """What a command found cannot be written on standard output."""


class ResultStream(SafeStream):
    """Standard output: it has what the command's own thread writes; what other threads print goes to stderr."""

    def __init__(self, raw: TextIO) -> None:
        super().__init__(raw)
        self._owner = threading.get_ident()

    def flush(self) -> None:
        """Raises OutputLost if that fails, and BrokenPipeError if the reader has closed the pipe."""
        if self.raw.closed:  # from Python 3.13 on, an error would be reported when this object is collected
            return
        with self._explained():
            self.raw.flush()

    def put(self, text: str) -> None:
        """Write text that is safe already; raises as `flush` does."""
        if threading.get_ident() != self._owner:
            sys.stderr.write(text)
            return
        with self._explained():
            self.raw.write(text)

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._drop()
            if isinstance(error, BrokenPipeError):
                raise
            raise OutputLost(f"standard output cannot be written: {error.strerror or error}") from error

    def _drop(self) -> None:
        # what is left in the buffer must not fail again when Python ends
        with contextlib.suppress(OSError, ValueError, io.UnsupportedOperation):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.raw.fileno())
            os.close(nowhere)
        with contextlib.suppress(OSError, ValueError):
            self.raw.flush()


@contextlib.contextmanager
def command_streams(*, until_exit: bool) -> Iterator[None]:
    """Stand between a command and its standard streams.

    Streams that the caller closed discard everything. File descriptor 1 is standard error inside, so that output of
    libraries, plugins and their child processes does not mix with a result; `sys.stdout` is the real standard output.
    With `until_exit` this lasts until the end of the process, also for threads and exit handlers.
    """
    _open_closed()
    before = (sys.stdin, sys.stdout, sys.stderr)
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  # for as long as the process lives
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = SafeStream(sys.stderr or _nowhere())
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    kept = os.dup(1)
    own = _is_descriptor_one(sys.stdout)
    results: TextIO = _like(sys.stdout, kept) if own else sys.stdout
    os.dup2(2, 1)
    sys.stdout = ResultStream(results)
    try:
        yield
    finally:
        if until_exit:
            sys.stdout = sys.stderr
        else:
            sys.stdin, sys.stdout, sys.stderr = before
            os.dup2(kept, 1)
            if own:
                results.close()
            else:
                os.close(kept)


def _open_closed() -> None:
    """Without this the next files that are opened would be standard output and error."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)


def _nowhere() -> TextIO:
    return Path(os.devnull).open(
        "w", encoding="utf-8", errors="backslashreplace"
    )  # lines of any length and character


def _is_descriptor_one(stream: Any) -> bool:
    try:
        return bool(stream.fileno() == 1)
    except (OSError, ValueError, AttributeError):
        return False


def _like(stream: Any, descriptor: int) -> TextIO:
    """A stream on another descriptor; a character that its encoding has not is escaped."""
    return open(
        descriptor,
        "w",
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        buffering=1 if stream.isatty() else -1,
    )

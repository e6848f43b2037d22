"""A text stream that may be a terminal: control characters from outside kd are shown, not obeyed."""

from __future__ import annotations

import contextlib
import io
from typing import Final, TextIO, cast

from kdcore.text import printable

_UP: Final = "\x1b[A"  # with a carriage return, all that the progress bars of libraries need


class SafeStream(io.TextIOBase):
    """A text stream that shows control characters as visible escapes, from kd, a library or a plugin.

    Attributes:
        raw: the stream itself, for text that is safe already: styles and progress bars of kd.
    """

    def __init__(self, raw: TextIO) -> None:
        self.raw = raw

    def write(self, text: str) -> int:
        """Write, with visible escapes."""
        start = len(text) - len(text.lstrip("\r"))
        parts = [printable(part, lines=True) for part in text[start:].split(_UP)]
        self.put(text[:start] + _UP.join(parts))
        return len(text)

    def flush(self) -> None:
        """Flush; errors are ignored: a closed terminal must not end a training."""
        with contextlib.suppress(OSError, ValueError):
            self.raw.flush()

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self.raw.isatty()

    def fileno(self) -> int:
        """The file descriptor."""
        return self.raw.fileno()

    def writable(self) -> bool:
        """True."""
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream."""
        return getattr(self.raw, "encoding", None) or "utf-8"

    @property
    def errors(self) -> str:  # type: ignore[override]
        """How the stream writes characters that its encoding does not have."""
        return getattr(self.raw, "errors", None) or "strict"

    def put(self, text: str) -> None:
        """Write text that is safe already; errors are ignored."""
        with contextlib.suppress(OSError, ValueError):
            self.raw.write(text)


class OwnText(SafeStream):
    """The same stream for kd's own styles and progress bars: nothing is escaped, and a closed terminal ends no run."""

    def write(self, text: str) -> int:
        """Write as it is."""
        self.put(text)
        return len(text)


def raw(stream: TextIO) -> TextIO:
    """The stream below a safe one, for styles and bars; a stream that is not safe is returned as it is."""
    return cast("TextIO", OwnText(stream.raw)) if isinstance(stream, SafeStream) else stream

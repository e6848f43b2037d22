"""Text for people: made safe for a terminal, a table or a page; sizes, durations, counts and aligned columns."""

from __future__ import annotations

import re
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

# C0, DEL and C1; marks and overrides of the direction of text; separators of lines; invisible characters; tags;
# unpaired UTF-16 surrogates, which stand for the bytes of a name that is not UTF-8
_UNSAFE: Final = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f"
)
_ALL: Final = re.compile(f"[{_UNSAFE}]")
_IN_LINES: Final = re.compile(f"(?![\n\t])[{_UNSAFE}]")
_NEXT: Final = "\n    "
_NAMED: Final = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_LATEX: Final = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
_MARKDOWN: Final = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])")  # '_' within a word is not markup
_FORMULA: Final = ("=", "+", "-", "@")
_BYTES: Final = ("bytes", "kB", "MB", "GB", "TB", "PB")
_THOUSANDS: Final = ("", "k", "M", "G", "T")
_GAP: Final = "  "  # between columns


def printable(text: object, *, lines: bool = False) -> str:
    r"""The text with a visible escape, such as \x1b, for each character that a terminal would obey or not show.

    Every text from outside kd (names of files, classes and plugins, values of a spec, messages of other code) passes
    through this before it is shown. With `lines`, line breaks and tabs stay: for text that is meant to have several
    lines.
    """
    return (_IN_LINES if lines else _ALL).sub(_escape, str(text))


def message(text: object) -> str:
    """`printable`, except that a line break before four spaces stays: a message of several lines uses it."""
    return _NEXT.join(printable(part) for part in str(text).split(_NEXT))


def json_safe(text: str) -> str:
    """A JSON text with JSON's own escapes for unsafe characters; its values do not change."""
    return _IN_LINES.sub(lambda found: _as_json(found[0]), text)


def markdown(text: object) -> str:
    """Text for Markdown, with escapes for everything that is markup, HTML or the end of a table's cell."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", printable(text))


def markdown_code(text: object) -> str:
    """Text as code in a line of Markdown or in a cell of a table; it may contain backticks."""
    plain = printable(text).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"


def latex(text: object) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in printable(text))


def csv_cell(value: object) -> object:
    """A cell of a CSV file that a spreadsheet does not read as a formula; values other than text do not change."""
    if not isinstance(value, str):
        return value
    plain = printable(value)
    return f"'{plain}" if plain.startswith(_FORMULA) else plain


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    if character in _NAMED:
        return _NAMED[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _as_json(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def dataset_name(dataset: str) -> str:
    """The name of a dataset elsewhere: its own name, or that of its folder or archive, without the path."""
    windows = PureWindowsPath(dataset)  # the run may have been made there
    return path_end(dataset) if Path(dataset).is_absolute() or windows.is_absolute() else dataset


def path_end(path: str) -> str:
    """The last part of a path or of a name such as `torch/cifar10`, also of a path of Windows on another system."""
    return path.rstrip("/\\").replace("\\", "/").rpartition("/")[2]


def has_top_5(num_classes: int | None) -> bool:
    """Whether a top-5 accuracy is shown: with 5 classes or fewer it is 100 % for every model."""
    return num_classes is None or num_classes > 5


def byte_size(count: float) -> str:
    """A number of bytes in decimal units, as disks are sold: `52.4 GB`, `999 bytes`."""
    return _scaled(count, _BYTES)


def short_count(number: float) -> str:
    """A number with three digits and a unit, `21.3 M`; below a thousand it stays whole."""
    return _scaled(number, _THOUSANDS).rstrip()


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `9 runs`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _scaled(number: float, units: Sequence[str]) -> str:
    value, last = float(number), len(units) - 1
    place = 0
    while value >= 999.5 and place < last:  # 999.5 would be written as 1000
        value, place = value / 1000, place + 1
    return f"{value:.0f} {units[place]}" if place == 0 or value >= 99.95 else f"{value:.3g} {units[place]}"


def duration(seconds: float) -> str:
    """Seconds as people say it: `8.3 s`, `42 s`, `12 min 5 s`, `3 h 12 min`."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    parts = ((minutes, "min"), (rest, "s")) if minutes < 60 else ((minutes // 60, "h"), (minutes % 60, "min"))
    return " ".join(f"{count} {unit}" for count, unit in parts if count)


def clock(seconds: float) -> str:
    """Seconds for a column or a line that changes: `59:59`, `1:01:01`."""
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def percent(value: float | None, digits: int = 1) -> str:
    """A percentage, `97.3 %`; a dash if the value is None."""
    return "\N{EN DASH}" if value is None else f"{value:.{digits}f} %".replace("-", "\N{MINUS SIGN}")


def columns(rows: Sequence[Sequence[str]], *, right: Collection[int] = ()) -> list[str]:
    """A line for each row, its cells below each other; `right`: the columns that are aligned to the right.

    The last column is filled with spaces too, so that all lines are equally long. Every row has the same number of
    cells, which are safe to show.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            cell.rjust(width) if place in right else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]

"""Text made safe for where it is shown: what a name could do to a terminal, a table or a page becomes visible."""

from __future__ import annotations

import re
from typing import Final

# C0, DEL and C1; marks and overrides of the direction of text; separators of lines; what cannot be seen; tags; half
# characters, which stand for the bytes of a name that is not UTF-8
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
_MARKDOWN: Final = re.compile(r"[\\`*\[\]<>|&~$]|(?<![^\W_])_|_(?![^\W_])")  # '_' within a word is no markup
_FORMULA: Final = ("=", "+", "-", "@")


def printable(text: object, *, lines: bool = False) -> str:
    r"""The text with a visible escape, such as \x1b, for each character that a terminal would obey or not show.

    Every text from outside kd (names of files, classes and plugins, values of a spec, messages of other code) passes
    through this before it is shown. With `lines`, line breaks and tabs stay: for text that is meant to have several
    lines.
    """
    return (_IN_LINES if lines else _ALL).sub(_escape, str(text))


def message(text: object) -> str:
    """`printable`, except that a line break before four spaces stays: so messages of several lines are made."""
    return _NEXT.join(printable(part) for part in str(text).split(_NEXT))


def json_safe(text: str) -> str:
    """A JSON text in which those characters are JSON's own escapes: its values stay what they are."""
    return _IN_LINES.sub(lambda found: _as_json(found[0]), text)


def markdown(text: object) -> str:
    """Text for Markdown that reads as it is: no markup, no HTML, no cell of a table ends."""
    return _MARKDOWN.sub(lambda found: f"\\{found[0]}", printable(text))


def markdown_code(text: object) -> str:
    """Text as code in a line of Markdown, also in a table, whatever backticks are in it."""
    plain = printable(text).replace("|", r"\|")
    longest = max((len(run) for run in re.findall("`+", plain)), default=0)
    fence = "`" * (longest + 1)
    space = " " if plain.startswith("`") or plain.endswith("`") else ""
    return f"{fence}{space}{plain}{space}{fence}"


def latex(text: object) -> str:
    """Text with LaTeX's special characters escaped."""
    return "".join(_LATEX.get(character, character) for character in printable(text))


def csv_cell(value: object) -> object:
    """A cell of a CSV file that no spreadsheet takes for a formula; what is no text stays what it is."""
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


def has_top_5(num_classes: int | None) -> bool:
    """Whether a top-5 accuracy is shown: with 5 classes or fewer it is 100 % for every model."""
    return num_classes is None or num_classes > 5

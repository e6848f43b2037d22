"""Formulas as MathML, which browsers show without a script: computed once, in the built pages."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK: Final = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.DOTALL)
_INLINE: Final = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)

# what latex2mathml does not know, and what shows the same; browsers make brackets as large as they have to be
_SAME: Final = {
    r"\\[bB]igg?[lr]?(?![a-zA-Z])": "",
    r"\\\||\\[lr]?Vert(?![a-zA-Z])": "‖",
    r"\\\n": r"\\ ",
    r"\\arg(?![a-zA-Z])": r"\\operatorname{arg}",
}


class FormulaError(Exception):
    """A formula that cannot be converted, and its page."""


def render_formulas(site: Path) -> None:
    """Replace the TeX of each formula of a built site.

    Raises:
        FormulaError: if a formula is not TeX that latex2mathml knows.
    """
    for page in sorted(site.rglob("*.html")):
        text = page.read_text("utf-8")
        if "arithmatex" not in text:
            continue
        try:
            text = _BLOCK.sub(lambda match: f'<div class="formula">{_mathml(match[1], "block")}</div>', text)
            text = _INLINE.sub(lambda match: _mathml(match[1], "inline"), text)
        except ValueError as error:
            raise FormulaError(f"{page.relative_to(site)}: {error}") from None
        page.write_text(text, encoding="utf-8")


def _mathml(tex: str, display: str) -> str:
    from latex2mathml.converter import convert

    source = unescape(tex).strip()
    for pattern, same in _SAME.items():
        source = re.sub(pattern, same, source)
    try:
        found: str = convert(source, display=display)
    except Exception as error:  # the library has many types
        raise ValueError(f"the formula {source!r} is not TeX that latex2mathml knows: {error!r}") from error
    if "\\" in found:
        raise ValueError(f"latex2mathml does not know a command in {source!r}")
    return found

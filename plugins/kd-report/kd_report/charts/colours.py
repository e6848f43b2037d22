"""Colours of the figures for papers: those of `charts.css` for light screens, which printers and most eyes separate.

Okabe and Ito 2008, "Color Universal Design".
"""

from __future__ import annotations

from typing import Final

STUDENT: Final = "#0072B2"
TEACHER: Final = "#D55E00"
AVERAGED: Final = "#009E73"
GREY: Final = "#8A8F98"
LIGHT: Final = "#C8CBCF"
CYCLE: Final = (STUDENT, TEACHER, AVERAGED, "#CC79A7", "#B59A00", "#56B4E9", "#000000")


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue, 0..255, of a colour such as `#0072B2`."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue

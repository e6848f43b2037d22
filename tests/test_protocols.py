from __future__ import annotations

from typing import Any

import pytest

from kdcore import ReportSection


def test_a_section_takes_any_sequence_of_html():
    section = ReportSection("per-class", "Per class", figures=["<svg></svg>", "<table></table>"])  # type: ignore[arg-type]
    assert section.figures == ("<svg></svg>", "<table></table>")
    assert section == ReportSection("per-class", "Per class", figures=("<svg></svg>", "<table></table>"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"id": "Per class"}, "id is 'Per class'; it must be lower-case letters and digits"),
        ({"id": 3}, "id must be text, not 3"),
        ({"title": " "}, "title must not be empty"),
        ({"text": None}, "text must be text, not None"),
        ({"figures": "<svg></svg>"}, "figures must be a sequence of HTML texts, not '<svg></svg>'"),
        ({"figures": 3}, "figures must be a sequence of HTML texts, not 3"),
        ({"figures": [b"<svg>"]}, "figures must be HTML texts, not bytes"),
    ],
)
def test_a_wrong_field_of_a_section(fields: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        ReportSection(**{"id": "mine", "title": "Mine", **fields})

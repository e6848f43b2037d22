"""`kd data`: where its page goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from kd_report.cli.data import _write

from kdcore import UserError


def test_a_page_that_cannot_be_written_is_a_problem_with_its_flag(tmp_path: Path):
    _write(tmp_path / "page.html", "Ä")
    assert (tmp_path / "page.html").read_text("utf-8") == "Ä"
    with pytest.raises(UserError, match=r"--page: .* cannot be written"):
        _write(tmp_path / "no" / "page.html", "")

"""`kd data`: where its page goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from kd_report.page import write_page

from kdcore import UserError


def test_a_page_that_cannot_be_written_is_a_problem_with_its_flag(tmp_path: Path):
    write_page(tmp_path / "page.html", "Ä", "--page")
    assert (tmp_path / "page.html").read_text("utf-8") == "Ä"
    with pytest.raises(UserError, match=r"--page: .* cannot be written"):
        write_page(tmp_path / "no" / "page.html", "", "--page")

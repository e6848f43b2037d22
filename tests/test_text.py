from __future__ import annotations

import json

import pytest

from kdcore.errors import Problem, RunFailed, UserError
from kdcore.text import (
    byte_size,
    clock,
    columns,
    counted,
    csv_cell,
    dataset_name,
    duration,
    json_safe,
    latex,
    markdown,
    markdown_code,
    message,
    percent,
    printable,
    short_count,
)

DANGEROUS = {
    "\x1b]0;owned\x07": r"\x1b]0;owned\x07",
    "\x9b31m": r"\x9b31m",
    "a\x7fb\x08": r"a\x7fb\x08",
    "one\r\ntwo\tthree": r"one\r\ntwo\tthree",
    "\u202egnp.exe": r"\u202egnp.exe",
    "\u2028\u2029\x85": r"\u2028\u2029\x85",
    "zero\u200bwidth\ufeff": r"zero\u200bwidth\ufeff",
    "\udcff": r"\udcff",
    "\U000e0041": r"\U000e0041",
}


@pytest.mark.parametrize(("text", "shown"), DANGEROUS.items())
def test_what_a_terminal_would_obey_or_not_show_is_escaped(text: str, shown: str):
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["Straße", "図書館", "[red]x[/]", r"C:\new", "naïve £5", "🙂"])
def test_other_text_stays(text: str):
    assert printable(text) == text


def test_lines_stay_where_several_are_meant():
    assert printable("a\n\tb\x1b", lines=True) == "a\n\tb\\x1b"
    assert message("wrong\n    hint\nforged") == "wrong\n    hint\\nforged"


@pytest.mark.parametrize("text", DANGEROUS)
def test_json_keeps_the_value(text: str):
    if text != "\udcff":
        shown = json_safe(json.dumps([text], ensure_ascii=False))
        assert json.loads(shown) == [text]
        assert shown == printable(shown)


def test_errors_show_every_part_escaped_and_keep_their_own_lines():
    problem = Problem("a\x1b\nb", "m\x9b", value="v\u202e", allowed="x\x07", nearest="n\x1b", hint="h\x1b")
    text = str(UserError([problem, problem]))
    assert printable(text, lines=True) == text
    assert len(text.splitlines()) == 8
    assert text.startswith(r"a\x1b\nb: m\x9b")
    assert problem.as_dict()["where"] == "a\x1b\nb"
    assert str(RunFailed("x\x1b[31m\nerror: forged")) == r"x\x1b[31m\nerror: forged"


def test_every_special_character_of_latex():
    assert latex("a_b%c&d#e$f{g}h~i^j\\k\x1b") == (
        r"a\_b\%c\&d\#e\$f\{g\}h\textasciitilde{}i\textasciicircum{}j\textbackslash{}k\textbackslash{}x1b"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", r"a\|b"),
        ("<b>&amp;", r"\<b\>\&amp;"),
        ("[x](http://y)", r"\[x\](http://y)"),
        ("kd_t=2", "kd_t=2"),
        ("_a_ *b* `c`", r"\_a\_ \*b\* \`c\`"),
        ("a\nb", r"a\\nb"),
    ],
)
def test_markdown_reads_as_the_text(text: str, shown: str):
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"), [("a", "`a`"), ("a`b", "``a`b``"), ("`a", "`` `a ``"), ("a|b\n", r"`a\|b\n`")]
)
def test_code_in_markdown_holds_its_backticks(text: str, shown: str):
    assert markdown_code(text) == shown


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_of_a_csv_file_is_a_formula(text: str):
    shown = csv_cell(text)
    assert isinstance(shown, str)
    assert shown[0] not in "=+-@\t\r"


def test_numbers_of_a_csv_file_stay_numbers():
    assert csv_cell(-1.5) == -1.5
    assert csv_cell(None) is None
    assert csv_cell("kd") == "kd"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (153_600_000, "154 MB"),
        (999_700_000, "1 GB"),  # not '1000 MB' or '1e+03 MB'
        (12_345_000_000, "12.3 GB"),
        (99_970_000_000, "100 GB"),
        (3.5e12, "3.5 TB"),
        (2e18, "2000 PB"),
    ],
)
def test_sizes(count: float, text: str):
    assert byte_size(count) == text


@pytest.mark.parametrize(
    ("number", "text"), [(7, "7"), (999, "999"), (1_500, "1.5 k"), (21_284_672, "21.3 M"), (4.1e9, "4.1 G")]
)
def test_counts(number: float, text: str):
    assert short_count(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.97, "10 s"),
        (59.4, "59 s"),
        (59.7, "1 min"),
        (725, "12 min 5 s"),
        (3599.6, "1 h"),
        (90_000, "25 h"),
    ],
)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3661, "1:01:01"), (90_000, "25:00:00")],
)
def test_clock(seconds: float, text: str):
    assert clock(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (97.31, "97.3 %"), (-0.46, "−0.5 %")])  # noqa: RUF001
def test_percent(value: float | None, text: str):
    assert percent(value) == text


def test_columns_are_below_each_other():
    rows = [("name", "n", "of"), ("a", "10", "b")]
    assert columns(rows) == ["name  n   of", "a     10  b "]
    assert columns(rows, right=(1,)) == ["name   n  of", "a     10  b "]
    assert columns([]) == []


def test_a_datasets_name_has_no_path():
    assert dataset_name("/home/me/secret/pets.tar") == "pets.tar"
    assert dataset_name("torch/cifar100") == "torch/cifar100"


def test_a_number_of_things():
    assert [counted(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]

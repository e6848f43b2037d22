"""Checks, what they say, and how failures are expected."""

from __future__ import annotations

import os
import subprocess
import sys
from unittest import SkipTest

import pytest
from kd_dev.testing import Check, ConformanceError, parametrize_with_checks
from kd_dev.testing.check import Violation, rule, run, skip

from kdcore import UserError


@rule("plugin", summary="The number is even.", why="Odd numbers leave one over.", fix="Add one.")
def is_even(number: int) -> None:
    if number % 2:
        raise Violation(f"it is {number}")


@rule("dataset", summary="The number has one digit.", why="Large ones do not fit.", fix="Divide it.")
def is_small(number: int) -> None:
    if number < 0:
        skip("it has a sign")
    assert number < 10, "too many digits"


def checks(*numbers: int) -> list[Check]:
    return [Check(f"n{number}", one, number) for number in numbers for one in (is_even, is_small)]


def test_a_check_says_what_it_is_about():
    even, small = checks(2)
    assert (even.id, str(even), even.summary) == ("is_even", "n2-is_even", "The number is even.")
    assert (even.why, even.fix) == ("Odd numbers leave one over.", "Add one.")
    assert even.where == "docs/conformance.md#is_even-plugin"
    assert small.where == "docs/conformance.md#is_small-dataset"
    assert repr(small) == "<Check n2-is_small>"
    assert even() is None


@rule("plugin", summary="The number does not end Python.", why="Others run in it.", fix="Do not.")
def stays(number: int) -> None:
    sys.exit(number)


def test_a_subject_that_ends_python_fails_the_check():
    with pytest.raises(ConformanceError, match=r"n3 breaks the rule stays: it raised SystemExit: 3"):
        Check("n3", stays, 3)()


def test_a_failure_says_what_was_seen_and_where_the_rule_is():
    even, small = checks(13)
    with pytest.raises(ConformanceError) as caught:
        even()
    assert str(caught.value).splitlines() == [
        "n13 breaks the rule is_even: it is 13",
        "    the rule: The number is even.",
        "    to fix it: Add one.",
        "    see docs/conformance.md#is_even-plugin",
    ]
    with pytest.raises(
        ConformanceError, match=r"it raised AssertionError: too many digits \(test_check.py, line \d+\)"
    ) as caught:
        small()
    assert isinstance(caught.value.__cause__, AssertionError)


def test_what_does_not_apply_is_skipped():
    with pytest.raises(SkipTest, match=r"^n-2-is_small: it has a sign$"):
        checks(-2)[1]()
    run(checks(-2), {})


def test_all_failures_are_told_at_once():
    run(checks(2, 4), None)
    with pytest.raises(ConformanceError) as caught:
        run(checks(11, 2), None)
    assert [str(failure.check) for failure in caught.value.failures] == ["n11-is_even", "n11-is_small"]
    assert "it is 11" in str(caught.value)
    assert "too many digits" in str(caught.value)


@pytest.mark.parametrize("key", ["is_even", "n3-is_even"])
def test_an_expected_failure_is_none(key):
    run(checks(3), {key: "three is odd"})


def test_an_expected_failure_that_passes_is_one():
    with pytest.raises(
        ConformanceError, match=r"n2 breaks the rule is_even: it is expected to fail \(odd\), but pass"
    ):
        run(checks(2, 3), {"is_even": "odd"})
    run(checks(2, 3), {"n3-is_even": "odd"})
    run(checks(-2), {"is_small": "skipped, so neither"})


@pytest.mark.parametrize(
    "call", [run, lambda *given: parametrize_with_checks(given[0], expected_failures=given[1])]
)
def test_an_unknown_check_is_told_with_the_nearest(call):
    with pytest.raises(UserError) as caught:
        call(checks(3), {"is_evne": "a typing error", "is_odd": "another"})
    first, second = caught.value.problems
    assert (first.where, first.nearest) == ("expected_failures", "is_even")
    assert second.allowed == "is_even, is_small"


TESTS = """\
import sys
from kd_dev.testing import Check, parametrize_with_checks
from kd_dev.testing.check import Violation, rule, skip

@rule("plugin", summary="It is even.", why="Why.", fix="How.")
def is_even(number):
    if number == 0:
        skip("nothing")
    if number % 2:
        raise Violation(f"it is {number}")

CHECKS = [Check(f"n{number}", is_even, number) for number in range(6)]

@parametrize_with_checks(CHECKS, expected_failures={"n1-is_even": "odd", "n4-is_even": "thought to be odd"})
def test_conformance(check: Check) -> None:
    check()
"""


def test_as_pytest_tests(tmp_path):
    """In a pytest of its own: ids, skips with reasons, expected failures that are strict, messages without the kit."""
    (tmp_path / "test_it.py").write_text(TESTS)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rsxfE", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        check=False,
    )
    out = done.stdout
    assert "SKIPPED [1] " in out
    assert ": n0-is_even: nothing" in out
    assert "XFAIL test_it.py::test_conformance[n1-is_even] - odd" in out
    assert "FAILED test_it.py::test_conformance[n4-is_even] - [XPASS(strict)] thought to be odd" in out
    assert "FAILED test_it.py::test_conformance[n3-is_even]" in out
    assert "n3 breaks the rule is_even: it is 3" in out
    assert "see docs/conformance.md#is_even-plugin" in out
    assert "_one_thread" not in out
    assert "3 failed, 1 passed, 1 skipped, 1 xfailed" in out, out


def test_the_kit_needs_neither_pytest_nor_torch():
    code = (
        "import sys, kd_dev.testing\n"
        "print(sorted({'pytest', 'torch', 'timm', 'numpy'} & set(sys.modules)))\n"
        "assert all(hasattr(kd_dev.testing, name) for name in kd_dev.testing.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rules_are_data_which_python_without_docstrings_has_too():
    # kd-dev as `python -OO` compiles it; that would also compile all of torch, once for each environment
    code = """
from importlib.machinery import SourceFileLoader
known = SourceFileLoader.get_code

def get_code(self, name):
    if not name.startswith("kd_dev"):
        return known(self, name)
    return compile(self.get_data(self.path), self.path, "exec", dont_inherit=True, optimize=2)

SourceFileLoader.get_code = get_code
from kd_dev.testing import distiller_checks
from kd_dev.testing.check import Check
assert Check.__doc__ is None, Check.__doc__
print(distiller_checks("vanilla")[0].why)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) > 5

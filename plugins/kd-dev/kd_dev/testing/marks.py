"""The checks as pytest parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_dev.testing.check import Check, ConformanceError, check_expected, expected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pytest


def parametrize(checks: Sequence[Check], expected_failures: Mapping[str, str]) -> pytest.MarkDecorator:
    """See `kd_dev.testing.parametrize_with_checks`."""
    import pytest

    check_expected(checks, expected_failures)
    parameters = []
    for check in checks:
        reason = expected(check, expected_failures)
        marks = (
            () if reason is None else pytest.mark.xfail(strict=True, raises=ConformanceError, reason=reason)
        )
        parameters.append(pytest.param(check, id=str(check), marks=marks))
    return pytest.mark.parametrize("check", parameters)

"""The device of these tests: the accelerator, or the processor where KD_TEST_ACCELERATOR is `cpu`."""

from __future__ import annotations

import os

import pytest
import torch


@pytest.fixture
def device() -> torch.device:
    """The accelerator; a test that means nothing without one is skipped."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if found is not None:
        return found
    if os.environ.get("KD_TEST_ACCELERATOR") == "cpu":  # to see whether the tests themselves work
        return torch.device("cpu")
    pytest.skip("there is no accelerator")


@pytest.fixture
def any_device() -> torch.device:
    """The accelerator if there is one, otherwise the processor."""
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found

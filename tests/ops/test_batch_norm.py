"""Batch norm over processes, in one process; tests/distill/test_sync_norm.py has it in two."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from kdcore.ops import BatchNormOverProcesses


def test_a_vector_has_no_channels():
    with pytest.raises(ValueError, match="got 1 dimensions"):
        BatchNormOverProcesses(4)(torch.zeros(4))


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 5), (4, 3, 2, 2)])
def test_in_one_process_it_is_torchs_batch_norm(shape):
    ours, torchs = (
        BatchNormOverProcesses(3),
        {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}[len(shape)](3),
    )
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours(values), torchs(values))
    assert torch.equal(ours.eval()(values), torchs.eval()(values))
    assert ours.state_dict().keys() == torchs.state_dict().keys()

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdcore.features.stages import stage_indices


@pytest.mark.parametrize(
    ("reductions", "expected"),
    [
        # OFA-KD's blocks 2, 4, 10, 12 of 12, in proportion
        ([16] * 12, (1, 3, 9, 11)),
        ([16] * 24, (3, 7, 19, 23)),
        ([16] * 36, (5, 11, 29, 35)),
        ([32] * 8, (0, 2, 6, 7)),
        ([16] * 6, (0, 1, 4, 5)),
        ([16] * 4, (0, 1, 2, 3)),
        ([16] * 5, (0, 1, 3, 4)),
        # pyramids
        ([4, 8, 16, 32], (0, 1, 2, 3)),
        ([2, 4, 8, 16, 32], (1, 2, 3, 4)),
        ([1, 2, 4, 8, 16, 32], (2, 3, 4, 5)),
        ([2, 4, 8, 16, 32, 64], (2, 3, 4, 5)),
        ([8, 8, 16, 32, 64], (1, 2, 3, 4)),
        ([4, 4, 8, 8, 16, 16, 32, 32], (1, 3, 5, 7)),
        # the same depth with a stride-1 stem, stale or true, and dilated
        ([1, 1, 2, 4, 8], (1, 2, 3, 4)),
        ([2, 4, 8, 8, 8], (1, 2, 3, 4)),
        ([2, 4, 8, 16, 16], (1, 2, 3, 4)),
        # VOLO and Sequencer, CrossViT, LeViT and PiT
        ([8, 16, 16, 16], (0, 1, 2, 3)),
        ([12, 12, 12, 17, 17, 17], (0, 1, 4, 5)),
        ([16, 32, 64], (0, 0, 1, 2)),
        ([16, 32], (0, 0, 0, 1)),
        ([16], (0, 0, 0, 0)),
    ],
)
def test_known_networks(reductions, expected):
    assert stage_indices(reductions) == expected


@settings(deadline=None)
@given(st.lists(st.integers(1, 6).map(lambda power: 2**power), min_size=1, max_size=70).map(sorted))
def test_stages_go_deeper_and_end_at_the_last_map(reductions):
    chosen = stage_indices(reductions)
    assert all(0 <= index < len(reductions) for index in chosen)
    assert list(chosen) == sorted(chosen)
    assert chosen[-1] == len(reductions) - 1
    if len(reductions) >= 4:
        assert len(set(chosen)) == 4


def test_no_maps():
    with pytest.raises(ValueError, match="no feature maps"):
        stage_indices([])

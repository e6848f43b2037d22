from __future__ import annotations

import torch
from kd_feature.grids import on_one_grid


def test_maps_meet_on_the_smaller_height_and_the_smaller_width(oracle, draw):
    student, teacher = draw(1, 2, 5, 3), draw(1, 3, 4, 6, seed=1)
    ours, theirs = on_one_grid(student, teacher)
    expected = oracle.aligned(student.tolist(), teacher.tolist())
    torch.testing.assert_close((ours, theirs), tuple(torch.tensor(one).double() for one in expected))
    assert ours.shape == (1, 2, 4, 3)
    assert on_one_grid(ours, theirs) == (ours, theirs)

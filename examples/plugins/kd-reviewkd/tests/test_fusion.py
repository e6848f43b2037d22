from __future__ import annotations

import pytest
import torch

from kd_reviewkd.fusion import Fusion

CASES = {
    "deepest": (None, (4, 4), (4, 4)),
    "one grid": ((4, 4), (4, 4), (4, 4)),
    "from a pooled map": ((1, 1), (2, 2), (2, 2)),
    "to a larger grid": ((2, 2), (4, 3), (8, 8)),
    "to a smaller grid": ((3, 2), (6, 5), (4, 4)),
}


@pytest.mark.parametrize(("deeper", "grid", "teacher_grid"), CASES.values(), ids=CASES)
def test_equals_the_authors_code(oracle, draw, deeper, grid, teacher_grid):
    fusion = Fusion(3, 2, 4, teacher_grid, deepest=deeper is None).double().eval()
    with torch.no_grad():
        for value in fusion.state_dict().values():
            if value.is_floating_point():
                value.copy_(draw(*value.shape).abs() + 0.1)
    features = draw(2, 3, *grid)
    below = None if deeper is None else draw(2, 2, *deeper)
    with torch.no_grad():
        reviewed, fused = fusion(features, below)
    state = {name: value.tolist() for name, value in fusion.state_dict().items()}
    for sample in range(2):
        wanted, passed_on = oracle.fusion(
            state, features[sample].tolist(), None if below is None else below[sample].tolist(), teacher_grid
        )
        torch.testing.assert_close(reviewed[sample], torch.tensor(wanted, dtype=torch.float64))
        torch.testing.assert_close(fused[sample], torch.tensor(passed_on, dtype=torch.float64))
    assert reviewed.shape == (2, 4, *teacher_grid)


def test_all_of_it_is_trained(draw):
    fusion = Fusion(3, 2, 4, (4, 4), deepest=False).double()
    reviewed, fused = fusion(draw(2, 3, 4, 4), draw(2, 2, 2, 2))
    (reviewed.square().sum() + fused.sum()).backward()
    assert all(parameter.grad is not None for parameter in fusion.parameters())

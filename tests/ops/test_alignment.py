from __future__ import annotations

import pytest
import torch

from kdcore.ops import align_gradients

G = [torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([3.0])]
K = [torch.tensor([[-2.0, 0.5], [1.0, 1.0]]), torch.tensor([-1.0])]


def test_the_opposing_part_is_left_out():
    # g'k = -2 + 1 + 0 - 1 - 3 = -5 and g'g = 1 + 4 + 0 + 1 + 9 = 15, so a third of g is added
    first, second = align_gradients(G, K)
    torch.testing.assert_close(first, torch.tensor([[-5 / 3, 7 / 6], [1.0, 2 / 3]]))
    torch.testing.assert_close(second, torch.tensor([0.0]))
    assert sum((g * k).sum() for g, k in zip(G, (first, second), strict=True)).item() == pytest.approx(
        0, abs=1e-6
    )


def test_what_is_given_is_not_changed():
    before = [one.clone() for one in (*G, *K)]
    align_gradients(G, K)
    assert all(map(torch.equal, before, (*G, *K)))


def test_gradients_that_do_not_oppose_each_other_stay():
    opposite = [-one for one in K]
    assert all(map(torch.equal, align_gradients(G, opposite), opposite))
    right_angle = [torch.zeros(2, 2), torch.tensor([0.0])]
    assert all(map(torch.equal, align_gradients(G, right_angle), right_angle))


def test_the_product_is_that_of_all_parameters_together():
    # of the second one alone it is above 0, and yet it changes
    found = align_gradients(
        [torch.tensor([2.0]), torch.tensor([1.0])], [torch.tensor([-3.0]), torch.tensor([1.0])]
    )
    torch.testing.assert_close(found, [torch.tensor([-1.0]), torch.tensor([2.0])])


def test_parameters_that_one_loss_does_not_reach_count_as_zero():
    task = [torch.tensor([1.0]), torch.tensor([2.0]), None, None]
    distillation = [torch.tensor([-1.0]), None, torch.tensor([7.0]), None]
    first, second, third, fourth = align_gradients(task, distillation)
    # g'k = -1, g'g = 5
    torch.testing.assert_close(first, torch.tensor([-0.8]))
    torch.testing.assert_close(second, torch.tensor([0.4]))
    torch.testing.assert_close(third, torch.tensor([7.0]))
    assert fourth is None


@pytest.mark.parametrize("task", [[None], [torch.zeros(1)]])
def test_without_a_gradient_of_the_task_nothing_opposes_it(task):
    (found,) = align_gradients(task, [torch.tensor([-1.0])])
    assert found.item() == -1


def test_infinite_gradients_stay_visible():
    # the scaler of fp16 leaves such a step out
    (found,) = align_gradients([torch.tensor([1.0, torch.inf])], [torch.tensor([-1.0, -1.0])])
    assert not found.isfinite().all()


def test_other_shapes_or_numbers_are_refused():
    with pytest.raises(
        ValueError, match=r"gradient 0 of the task has shape \[1\], and that of the distillers \[2\]"
    ):
        align_gradients([torch.zeros(1)], [torch.zeros(2)])
    with pytest.raises(ValueError, match="shorter"):
        align_gradients([torch.zeros(1)], [])

"""Arguments of losses that do not fit: a ValueError that says what is allowed."""

from __future__ import annotations

import pytest
import torch

from kdcore.ops import (
    check_positive,
    check_same_shape,
    class_index,
    prepare_features,
    prepare_logits,
)


@pytest.mark.parametrize(
    ("dims", "shape", "layout"),
    [
        (None, (3,), r"\[B, D\] or \[B, C, H, W\]"),
        (2, (3,), r"\[B, D\]"),
        (2, (3, 2, 1, 1), r"\[B, D\]"),
        (4, (3, 2), r"\[B, C, H, W\]"),
        (4, (3, 2, 2), r"\[B, C, H, W\]"),
    ],
)
def test_other_dimensions_are_refused(dims, shape, layout):
    right = torch.zeros(3, *([2] * ((dims or 2) - 1)))
    with pytest.raises(ValueError, match=f"student_features has shape .* it must be {layout}"):
        prepare_features(torch.zeros(shape), right, dims=dims)
    with pytest.raises(ValueError, match=f"teacher_features has shape .* it must be {layout}"):
        prepare_features(right, torch.zeros(shape), dims=dims)


def test_the_student_decides_the_precision_and_keeps_its_graph():
    student, teacher = torch.zeros(2, 3, dtype=torch.float16).requires_grad_(), torch.zeros(2, 4).double()
    ours, theirs = prepare_features(student, teacher.requires_grad_())
    assert ours.dtype == theirs.dtype == torch.float32
    assert ours.requires_grad
    assert not theirs.requires_grad
    assert prepare_features(student.double(), teacher)[1].dtype == torch.float64


def test_a_layout_without_a_name_is_described():
    right = torch.zeros(3, 2, 2, 2, 2)
    with pytest.raises(ValueError, match="it must be of 5 dimensions"):
        prepare_features(torch.zeros(3, 2), right, dims=5)
    with pytest.raises(ValueError, match=r"it must be \[B, N, C\]"):
        prepare_features(torch.zeros(3, 2), torch.zeros(3, 2, 2), dims=3)


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (torch.zeros(3, 2, dtype=torch.long), torch.zeros(3, 2), "student_features is torch.int64"),
        (torch.zeros(3, 2), torch.zeros(2, 2), "both must hold the same samples"),
        (torch.zeros(0, 2), torch.zeros(0, 2), "at least one"),
    ],
)
def test_features_that_do_not_fit(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        prepare_features(student, teacher)


def test_features_of_two_shapes():
    check_same_shape(torch.zeros(3, 2), torch.zeros(3, 2))
    with pytest.raises(
        ValueError, match=r"\[3, 2\], teacher_features \[3, 4\]; this loss compares them element"
    ):
        check_same_shape(torch.zeros(3, 2), torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("student", "teacher", "message"),
    [
        (torch.zeros(2, 3), torch.zeros(2, 4), r"student_logits has shape \[2, 3\], teacher_logits \[2, 4\]"),
        (torch.zeros(3), torch.zeros(3), r"student_logits has shape \[3\]; it must be \[B, K\]"),
        (torch.zeros(2, 1), torch.zeros(2, 1), "at least one sample and two classes"),
        (torch.zeros(2, 3), torch.zeros(2, 3, dtype=torch.bool), "teacher_logits is torch.bool"),
    ],
)
def test_logits_that_do_not_fit(student, teacher, message):
    with pytest.raises(ValueError, match=message):
        prepare_logits(student, teacher)


def test_logits_take_the_precision_of_the_student_and_only_the_student_has_a_gradient():
    student = torch.zeros(2, 3, dtype=torch.bfloat16, requires_grad=True)
    teacher = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    ours, theirs = prepare_logits(student, teacher)
    assert ours.dtype == theirs.dtype == torch.float32
    assert ours.requires_grad
    assert not theirs.requires_grad


def test_a_target_becomes_class_indices():
    logits = torch.zeros(2, 3)
    assert class_index(torch.tensor([2, 0], dtype=torch.int32), logits).tolist() == [2, 0]
    assert class_index(torch.tensor([[0.1, 0.8, 0.1], [0.5, 0.2, 0.3]]), logits).tolist() == [1, 0]
    for wrong in (torch.zeros(2), torch.zeros(3, dtype=torch.long), torch.zeros(2, dtype=torch.bool)):
        with pytest.raises(ValueError, match=r"must be class indices \(integers\) of shape \[2\] or probab"):
            class_index(wrong, logits)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_what_must_be_above_zero(value):
    check_positive("eps", 1e-9)
    with pytest.raises(ValueError, match=f"eps is {value}; it must be above 0"):
        check_positive("eps", value)

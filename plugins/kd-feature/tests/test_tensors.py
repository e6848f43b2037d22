from __future__ import annotations

import pytest
import torch
from kd_feature.stages import embeddings
from kd_feature.tensors import full_precision, on_one_grid, prepare_features

from kdcore import ModelOutput


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


def test_maps_meet_on_the_smaller_height_and_the_smaller_width(oracle, draw):
    student, teacher = draw(1, 2, 5, 3), draw(1, 3, 4, 6, seed=1)
    ours, theirs = on_one_grid(student, teacher)
    expected = oracle.aligned(student.tolist(), teacher.tolist())
    torch.testing.assert_close((ours, theirs), tuple(torch.tensor(one).double() for one in expected))
    assert ours.shape == (1, 2, 4, 3)
    assert on_one_grid(ours, theirs) == (ours, theirs)


def test_full_precision_where_there_is_autocast_and_where_there_is_none():
    values = torch.eye(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (values @ values).dtype == torch.bfloat16
        with full_precision(values.device):
            assert (values @ values).dtype == torch.float32
        with full_precision(torch.device("meta")):
            pass


@pytest.mark.parametrize("missing", ["student", "teacher"])
def test_a_missing_embedding_is_named(missing):
    logits, embedding = torch.zeros(2, 3), torch.zeros(2, 4)
    student = ModelOutput(logits, embedding=None if missing == "student" else embedding)
    teacher = ModelOutput(logits, embedding=None if missing == "teacher" else embedding)
    with pytest.raises(ValueError, match=f"the {missing}'s is missing"):
        embeddings(student, teacher)

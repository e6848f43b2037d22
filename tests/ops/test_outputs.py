"""What a distiller reads, refused by name if it is missing."""

from __future__ import annotations

import pytest
import torch

from kdcore import Batch, ModelOutput
from kdcore.ops import embeddings_of, logits_of, target_of


@pytest.mark.parametrize("missing", ["student", "teacher"])
def test_a_missing_embedding_is_named(missing):
    logits, embedding = torch.zeros(2, 3), torch.zeros(2, 4)
    student = ModelOutput(logits, embedding=None if missing == "student" else embedding)
    teacher = ModelOutput(logits, embedding=None if missing == "teacher" else embedding)
    with pytest.raises(
        ValueError, match=f"the embedding of both models is needed, and the {missing}'s is missing"
    ):
        embeddings_of(student, teacher)


def test_what_is_there_is_given():
    student = ModelOutput(torch.zeros(2, 3), embedding=torch.zeros(2, 4))
    teacher = ModelOutput(torch.ones(2, 3), embedding=torch.ones(2, 5))
    assert logits_of(student, teacher) == (student.logits, teacher.logits)
    assert embeddings_of(student, teacher) == (student.embedding, teacher.embedding)
    target = torch.zeros(2, dtype=torch.long)
    assert target_of(Batch(torch.zeros(2, 3, 4, 4), target), "dkd") is target


def test_a_missing_target_names_the_distiller():
    with pytest.raises(ValueError, match="dkd reads the ground truth, and this batch has no target"):
        target_of(Batch(torch.zeros(2, 3, 4, 4), None), "dkd")


@pytest.mark.parametrize("missing", ["student", "teacher"])
def test_missing_logits_are_named(missing):
    there, absent = ModelOutput(torch.zeros(2, 3)), ModelOutput(None)
    student, teacher = (absent, there) if missing == "student" else (there, absent)
    with pytest.raises(
        ValueError, match=f"the logits of both models are needed, and the {missing}'s are missing"
    ):
        logits_of(student, teacher)

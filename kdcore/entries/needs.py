"""What a distiller may need: the words of `DistillerEntry.needs`."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "teacher": "a teacher",
        "several-teachers": "two teachers or more",
        "learning-teacher": "a teacher that learns together with the student",
        "logits": "models that give logits of the data's classes: it reads those of student or teacher",
        "labels": "classes of training samples",
        "every-label": "a class for each training sample: it refuses sets of which only some samples have one",
        "features": "feature maps of the models' stages",
        "attention": "models with attention, whose weights it reads",
        "tokens": "models that work on tokens, such as ViT",
        "embeddings": "the models' embeddings",
        "classifier": "the classifier's module of student or teacher",
        "layers": "other modules of student or teacher, or the part after a stage",
        "distilled-student": "a student with a second classifier, such as the distilled DeiT",
        "views": "several augmented views of each sample",
        "partners": "a second sample of the same class for each sample",
        "second-pass": "a second pass of the student: with masked tokens, or of its average",
        "prepare-pass": "one pass of the teacher over the training set before the first step",
        "sample-index": "the position of each sample in the training set, which streams do not have",
        "whole-batch": "samples that it compares with each other: batches of more than one",
    }
)
"""What a user has to have for a distiller, in a few words; `teacher` is what most need."""

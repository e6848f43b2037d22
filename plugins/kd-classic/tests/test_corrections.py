from __future__ import annotations

from importlib import import_module

import pytest
import torch
from kd_classic import (
    KD,
    kd_loss,
    sort_kd_loss,
    sort_logits,
    standardize_logits,
    swap_kd_loss,
    swap_logits,
)
from kd_classic.options.softened import KDOptions
from kd_classic.plugin import kd_distillers
from kd_dev.testing.values import model_of_shapes, setup_of, terms_of
from torch import nn

from kdcore import ModelOutput


def swapped(row: list[float], y: int) -> list[float]:
    row, top = list(row), max(range(len(row)), key=lambda k: row[k])
    row[y], row[top] = row[top], row[y]
    return row


def sorted_to(row: list[float], y: int) -> list[float]:
    order = [y, *sorted((k for k in range(len(row)) if k != y), key=lambda k: -row[k])]
    values = sorted(row, reverse=True)
    return [values[order.index(k)] for k in range(len(row))]


@pytest.mark.parametrize(("correct", "slow"), [(swap_logits, swapped), (sort_logits, sorted_to)])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (6, 3), (40, 7), (3, 1000)])
def test_equals_the_rule_row_by_row(draw, correct, slow, samples, classes):
    _, teacher, target = draw(samples, classes)
    expected = [slow(row, y) for row, y in zip(teacher.tolist(), target.tolist(), strict=True)]
    assert correct(teacher, target).tolist() == expected


def test_values_worked_out_by_hand():
    teacher = torch.tensor([[3.0, 5.0, 1.0, 4.0]])
    # class 0 has rank 3 of 5, 4, 3, 1
    assert swap_logits(teacher, torch.tensor([0])).tolist() == [[5.0, 3.0, 1.0, 4.0]]
    assert sort_logits(teacher, torch.tensor([0])).tolist() == [[5.0, 4.0, 1.0, 3.0]]
    assert swap_logits(teacher, torch.tensor([2])).tolist() == [[3.0, 1.0, 5.0, 4.0]]
    assert sort_logits(teacher, torch.tensor([2])).tolist() == [[1.0, 4.0, 5.0, 3.0]]


@pytest.mark.parametrize("correct", [swap_logits, sort_logits])
def test_a_teacher_that_is_right_stays_as_it_is(draw, correct):
    _, teacher, _ = draw(5, 6)
    assert torch.equal(correct(teacher, teacher.argmax(1)), teacher)
    equal = torch.ones(2, 3)
    assert torch.equal(correct(equal, torch.tensor([0, 2])), equal)


@pytest.mark.parametrize("correct", [swap_logits, sort_logits])
def test_of_a_soft_target_the_most_probable_class_counts(draw, correct):
    _, teacher, target = draw(5, 4)
    soft = torch.full((5, 4), 0.1, dtype=torch.float64).scatter_(1, target.unsqueeze(1), 0.7)
    assert torch.equal(correct(teacher, soft), correct(teacher, target))


@pytest.mark.parametrize(("loss", "slow"), [(swap_kd_loss, swapped), (sort_kd_loss, sorted_to)])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_losses_are_kd_with_corrected_logits(oracle, draw, loss, slow, temperature):
    student, teacher, target = draw(5, 7)
    rows = [slow(row, y) for row, y in zip(teacher.tolist(), target.tolist(), strict=True)]
    expected = oracle.kd(student.tolist(), rows, temperature=temperature)
    assert loss(student, teacher, target, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)
    student.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda s: loss(s, teacher, target, temperature=temperature), (student,), fast_mode=True
    )


ENTRIES = {entry.name: entry for entry in kd_distillers()}


def _find(target: str):
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _having(option: str) -> list[str]:
    return [name for name, entry in ENTRIES.items() if option in _find(entry.options).model_fields]


@pytest.fixture(scope="module")
def pair():
    """Models with everything that a method with these options reads."""
    student, teacher = (model_of_shapes(name, embedding=6) for name in ("small", "large"))
    torch.manual_seed(0)
    teacher.classifier = nn.Linear(6, 5)
    return setup_of(student, teacher)


@pytest.fixture
def terms(pair, draw):
    """The terms of a distiller with options, for teacher's logits; whatever is drawn is the same each time."""

    def call(name, teacher=None, student=None, **options):
        given = draw(4, 5, dtype=torch.float32)
        outputs = []
        for place, other in enumerate((student, teacher)):
            logits = given[place] if other is None else other
            views = (ModelOutput(logits), ModelOutput(1.5 * logits))
            outputs.append(ModelOutput(logits, embedding=torch.ones(4, 6).tril(), views=views))
        torch.manual_seed(1)
        distiller = _find(ENTRIES[name].target)(_find(ENTRIES[name].options)(**options), pair)
        if options.get("correct"):
            assert distiller.requires.target
        return terms_of(distiller, *outputs, target=given[2])

    return call


@pytest.mark.parametrize(("correct", "function"), [("swap", swap_logits), ("sort", sort_logits)])
@pytest.mark.parametrize("name", _having("correct"))
def test_each_distiller_with_the_option_sees_the_corrected_teacher(terms, draw, name, correct, function):
    _, teacher, target = draw(4, 5, dtype=torch.float32)
    right = function(teacher, target)
    assert not torch.equal(right, teacher)
    torch.testing.assert_close(terms(name, correct=correct), terms(name, teacher=right))


# mlkd standardises in the first of its levels only: test_mlkd.py
@pytest.mark.parametrize("name", sorted({*_having("standardize")} - {"mlkd"}))
def test_each_distiller_with_the_option_sees_z_scores(terms, draw, name):
    student, teacher, _ = draw(4, 5, dtype=torch.float32)
    expected = terms(name, student=standardize_logits(student), teacher=standardize_logits(teacher))
    torch.testing.assert_close(terms(name, standardize=True), expected)


def test_both_together(terms, draw):
    student, teacher, target = draw(4, 5, dtype=torch.float32)
    z_scores = standardize_logits(student), standardize_logits(swap_logits(teacher, target))
    found = terms("kd", correct="swap", standardize=True, temperature=2.0, weight=9.0)
    torch.testing.assert_close(found["kd"], 9 * kd_loss(*z_scores, temperature=2.0))


def test_the_methods_that_make_sense_have_the_options():
    z_scores = {"kd", "dkd", "mlkd", "ctkd"}  # with which the authors of the standardisation use it
    assert z_scores | {"dist", "abkd", "eakd", "tekap", "ldrld"} <= set(_having("standardize"))
    assert {
        "nkd",
        "ttm",
        "wttm",
        "wsld",
        "bkd",
        "normkd",
        "luminet",
        "skd",
        "wkd",
        "dhkd",
        "mlkd",
        "crld",
    } <= set(_having("correct"))
    # it leaves out what a wrong teacher ranks above the target
    assert "rld" not in _having("correct")


def test_without_a_target_the_distiller_says_so(setup, step, draw):
    student, teacher, _ = draw(4, 5)
    with pytest.raises(ValueError, match="kd reads the ground truth"):
        step(KD(KDOptions(correct="sort"), setup), student, teacher, None)

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kd_classic import CSKD, DML, cskd_loss, dml_loss
from kd_classic.options.networks import DMLOptions
from kd_classic.options.teacher_free import CSKDOptions
from kd_dev.testing.values import numbers, terms_of

from kdcore import ModelOutput, Requires


@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (3, 1000)])
def test_both_equal_their_formulas(oracle, draw, samples, classes):
    own, other, _ = draw(samples, classes)
    for temperature in (1.0, 4.0):
        expected = oracle.kd(own.tolist(), other.tolist(), temperature=temperature)
        assert cskd_loss(own, other, temperature=temperature).item() == pytest.approx(expected, rel=1e-9)
    expected = oracle.kd(own.tolist(), other.tolist(), temperature=1.0)
    assert dml_loss(own, other).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "loss", [dml_loss, lambda s, t: cskd_loss(s, t, temperature=4.0)], ids=["dml", "cskd"]
)
def test_the_gradient_is_that_of_the_formula_and_the_other_gets_none(draw, loss):
    own, other, _ = draw(4, 6)
    own.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: loss(s, other), (own,))
    other.requires_grad_()
    loss(own, other).backward()
    assert other.grad is None


def test_the_peers_small_probabilities_count():
    # the authors' 1e-8 in the logarithms would make 18.4 of the 100 here
    own, peer = torch.tensor([[0.0, 100.0]]), torch.tensor([[100.0, 0.0]])
    assert dml_loss(own, peer).item() == pytest.approx(100.0)


def test_the_distiller_reads_the_partner(setup):
    own, other = numbers(4, 5), numbers(4, 5, seed=1)
    distiller = CSKD(CSKDOptions(weight=3.0), setup)
    assert distiller.requires == Requires(teacher=False, partner="class", unlabelled="skipped")
    student = ModelOutput(own, partner=ModelOutput(other))
    expected = 3 * cskd_loss(own, other, temperature=4.0)
    torch.testing.assert_close(terms_of(distiller, student, own), {"cskd": expected})
    with pytest.raises(ValueError, match="for its partner"):
        terms_of(distiller, own, own)


@pytest.mark.parametrize(("peers", "expected"), [("sum", 1.0), ("mean", 0.5)])
def test_dml_of_three_networks(setup, peers, expected):
    own, one, two = (numbers(4, 5, seed=seed).requires_grad_() for seed in range(3))
    infos = {"one": setup.teacher, "two": setup.teacher}
    distiller = DML(DMLOptions(peers=peers), replace(setup, teacher=None, teachers=infos))
    assert distiller.requires == Requires(teacher_learns=True, several_teachers=True)
    terms = terms_of(distiller, ModelOutput(own), {"one": ModelOutput(one), "two": ModelOutput(two)})
    networks = {"student": own, "one": one, "two": two}
    for name in networks:
        logs = {key: value.detach().double().log_softmax(1) for key, value in networks.items()}
        slow = sum(
            (logs[key].exp() * (logs[key] - logs[name])).sum(1).mean() for key in networks if key != name
        )
        torch.testing.assert_close(terms[name].double(), expected * slow)
        gradients = torch.autograd.grad(terms[name], list(networks.values()), allow_unused=True)
        assert [gradient is not None for gradient in gradients] == [key == name for key in networks]
    assert set(terms) == set(networks)


def test_dml_teaches_both_networks_and_each_from_its_own_term_only(setup):
    own, peer = numbers(4, 5).requires_grad_(), numbers(4, 5, seed=1).requires_grad_()
    distiller = DML(DMLOptions(weight=0.5), setup)
    assert distiller.requires == Requires(teacher_learns=True)
    terms = terms_of(distiller, own, peer)
    torch.testing.assert_close(
        terms, {"student": 0.5 * dml_loss(own, peer), "teacher": 0.5 * dml_loss(peer, own)}
    )
    gradients = torch.autograd.grad(terms["student"], (own, peer), allow_unused=True)
    assert gradients[0].abs().sum() > 0
    assert gradients[1] is None
    gradients = torch.autograd.grad(terms["teacher"], (own, peer), allow_unused=True)
    assert gradients[0] is None
    assert gradients[1].abs().sum() > 0

from __future__ import annotations

import copy
import math

import pytest
import torch
from kd_ofa import OFA, ofa_loss
from kd_ofa.options import OFAOptions

from kdcore import Distiller

FAMILY = ["conv", "vit", "mlp", "swin"]
each_family = pytest.mark.parametrize("family", FAMILY)
TARGET = torch.tensor([0, 3, 4, 1])


@pytest.fixture
def student(model, families):
    return lambda family: model(families[family], name=family)


@pytest.fixture
def make(student, setup_for):
    def build(family="vit", **options):
        torch.manual_seed(0)
        return OFA(OFAOptions(**options), setup_for(student(family)))

    return build


def teacher_logits():
    return 3 * torch.randn(4, 5, generator=torch.Generator().manual_seed(7))


@each_family
def test_it_asks_for_the_students_stages_and_the_ground_truth(family, make):
    ofa = make(family)
    assert isinstance(ofa, Distiller)
    assert ofa.requires.student_stages == (1, 2, 3, 4)
    assert ofa.requires.target
    assert ofa.requires.teacher
    assert not ofa.requires.teacher_stages
    assert not ofa.requires.teacher_embedding
    assert not ofa.requires.student_embedding
    assert make(family, stages=[3, "layer2"][:1]).requires.student_stages == (3,)


@each_family
def test_every_stages_term_is_the_loss_of_its_branch(family, make, student, output, step):
    ofa = make(family).eval()
    out, teacher = output(student(family)), teacher_logits()
    terms = step(ofa, out, teacher, TARGET)
    assert list(terms) == ["logits", "stage1", "stage2", "stage3", "stage4"]
    for number in (1, 2, 3, 4):
        logits = ofa.branches[number - 1](out.features[number])
        assert logits.shape == (4, 5)
        torch.testing.assert_close(
            terms[f"stage{number}"], ofa_loss(logits, teacher, TARGET, eps=1.0, temperature=1.0)
        )
    torch.testing.assert_close(
        terms["logits"], ofa_loss(out.logits, teacher, TARGET, eps=1.0, temperature=1.0)
    )


def test_weights_eps_and_temperature_reach_their_terms(make, student, output, step, oracle):
    ofa = make(
        "vit",
        weight=0.5,
        logits_weight=3.0,
        stage_weight=0.1,
        eps=[0.5, 1.5, 2.0],
        temperature=2.0,
        stages=[3, 1],
    )
    out, teacher = output(student("vit")), teacher_logits()
    terms = step(ofa, out, teacher, TARGET)
    assert list(terms) == ["logits", "stage3", "stage1"]

    def expected(logits, eps):
        return oracle.ofa(logits.tolist(), teacher.tolist(), TARGET.tolist(), eps=eps, temperature=2.0)

    assert terms["logits"].item() == pytest.approx(0.5 * 3 * expected(out.logits, 2.0), rel=1e-5)
    third, first = (branch(out.features[stage]) for branch, stage in zip(ofa.branches, (3, 1), strict=True))
    assert terms["stage3"].item() == pytest.approx(0.5 * 0.1 * expected(third, 0.5), rel=1e-5)
    assert terms["stage1"].item() == pytest.approx(0.5 * 0.1 * expected(first, 1.5), rel=1e-5)


@each_family
@pytest.mark.parametrize("autocast", [False, True])
def test_gradients_reach_all_parameters_and_all_features(family, autocast, make, student, output, step):
    ofa = make(family)
    out, teacher = output(student(family)), teacher_logits().requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        terms = step(ofa, out, teacher, TARGET)
    assert all(
        term.shape == () and term.dtype == torch.float32 and term.isfinite() for term in terms.values()
    )
    sum(terms.values()).backward()
    for name, parameter in ofa.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name
    assert out.logits.grad.abs().sum() > 0
    assert teacher.grad is None
    for feature in out.features.values():
        assert feature.map.grad.abs().sum() > 0
        assert feature.prefix is None or feature.prefix.grad.abs().sum() > 0


@each_family
def test_training_on_one_batch_makes_every_term_fall(family, make, student, output, step):
    ofa = make(family)
    out, teacher = output(student(family)), teacher_logits()
    optimizer = torch.optim.Adam([*ofa.parameters(), out.logits], lr=0.02)
    seen = []
    for _ in range(10):
        terms = step(ofa, out, teacher, TARGET)
        seen.append({name: term.item() for name, term in terms.items()})
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert all(seen[-1][name] < seen[0][name] for name in seen[0])


@each_family
def test_a_copy_and_a_reloaded_one_give_the_same_terms(family, make, student, output, step):
    ofa = make(family)
    out, teacher = output(student(family)), teacher_logits()
    step(ofa, out, teacher, TARGET)
    ofa.eval()
    other = make(family)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.1)
    other.load_state_dict(ofa.state_dict())
    for twin in (copy.deepcopy(ofa), other.eval()):
        assert step(twin, out, teacher, TARGET) == step(ofa, out, teacher, TARGET)


@each_family
def test_a_batch_of_one_in_training(family, make, student, output, step):
    out = output(student(family), samples=1)
    terms = step(make(family).train(), out, teacher_logits()[:1], TARGET[:1])
    assert all(term.isfinite() for term in terms.values())


def test_two_classes(model, families, setup_for, output, step):
    info = model(families["conv"])
    ofa = OFA(OFAOptions(eps=1.5), setup_for(info, num_classes=2))
    terms = step(ofa, output(info, classes=2), teacher_logits()[:, :2], TARGET % 2)
    assert all(term.isfinite() and term > 0 for term in terms.values())


def test_mixed_targets_count_by_their_most_probable_class(make, student, output, step):
    ofa, out, teacher = make("mlp", eps=1.5), output(student("mlp")), teacher_logits()
    mixed = 0.7 * torch.nn.functional.one_hot(TARGET, 5) + 0.3 / 5
    assert step(ofa, out, teacher, mixed) == step(ofa, out, teacher, TARGET)


def test_without_labels_it_says_what_is_missing(make, student, output, step):
    with pytest.raises(ValueError, match="ofa reads the ground truth"):
        step(make("mlp"), output(student("mlp")), teacher_logits(), None)


def test_without_stages_the_logits_term_remains(make, student, output, step):
    ofa = make("conv", stages=[])
    assert list(ofa.parameters()) == []
    terms = step(ofa, output(student("conv"), stages=()), teacher_logits(), TARGET)
    assert list(terms) == ["logits"]


def test_module_paths_name_their_terms(model, setup_for, output, step):
    paths = {"layer1.0": (4, (4, 4), 0), "layer2": (8, (2, 2), 0)}
    info = model(paths=paths)
    ofa = OFA(OFAOptions(stages=tuple(paths)), setup_for(info))
    terms = step(ofa, output(info, stages=tuple(paths)), teacher_logits(), TARGET)
    assert list(terms) == ["logits", "layer1.0", "layer2"]
    assert all(math.isfinite(term.item()) for term in terms.values())


def test_a_seed_decides_the_weights(student, setup_for):
    def built(seed):
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in OFA(OFAOptions(), setup_for(student("conv"))).parameters()])

    assert torch.equal(built(1), built(1))
    assert not torch.equal(built(1), built(2))

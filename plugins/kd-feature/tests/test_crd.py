from __future__ import annotations

import copy

import pytest
import torch
from kd_feature import CRD
from kd_feature.options.contrastive import CRDOptions
from torch.nn import functional as F

from kdcore import ModelOutput, Requires

LABELS = torch.arange(40) % 5
INDEX = torch.tensor([3, 17, 39, 0])
SMALL = CRDOptions(dim=6, negatives=12)


def test_what_it_needs(make_setup):
    distiller = CRD(SMALL, make_setup(labels=LABELS))
    assert distiller.requires == Requires(
        student_embedding=True,
        teacher_embedding=True,
        sample_index=True,
        whole_batch=True,
        teacher_logits=False,
    )
    assert distiller.loss.student_memory.shape == (40, 6)


@pytest.mark.parametrize("pair", [("cnn", "wide"), ("vit", "cnn"), ("cnn", "mixer")], ids="-".join)
def test_several_steps_equal_the_slow_formula(make_setup, output, step, crd_oracle, pair):
    setup = make_setup(*pair, labels=LABELS)
    distiller = CRD(SMALL, setup)
    memories = distiller.loss.student_memory.tolist(), distiller.loss.teacher_memory.tolist()
    slow = crd_oracle(*memories, 0.07, 0.5)
    for seed in range(3):
        student, teacher = output(setup.student, (), seed=seed), output(setup.teacher, (), seed=seed + 10)
        chosen = copy.deepcopy(distiller.sampler)(INDEX)
        assert (LABELS[chosen[:, 1:]] != LABELS[INDEX].unsqueeze(1)).all()
        unit = (
            F.normalize(distiller.student_head(student.embedding), dim=1),
            F.normalize(distiller.teacher_head(teacher.embedding), dim=1),
        )
        expected = slow.step(unit[0].tolist(), unit[1].tolist(), INDEX.tolist(), chosen.tolist())
        terms = step(distiller, student, teacher, INDEX)
        assert list(terms) == ["crd"]
        assert terms["crd"].item() == pytest.approx(0.8 * expected, rel=1e-5)
    torch.testing.assert_close(distiller.loss.teacher_memory, torch.tensor(slow.memory["teacher"]))


def test_both_heads_and_the_student_are_trained_and_the_teacher_is_not(make_setup, output, step):
    setup = make_setup(labels=LABELS)
    distiller = CRD(SMALL, setup)
    student, teacher = output(setup.student, (), grad=True), output(setup.teacher, (), seed=1, grad=True)
    step(distiller, student, teacher, INDEX)["crd"].backward()
    assert len(list(distiller.parameters())) == 4
    assert all(parameter.grad.abs().sum() > 0 for parameter in distiller.parameters())
    assert student.embedding.grad.abs().sum() > 0
    assert teacher.embedding.grad is None


def test_the_loss_falls_in_training(make_setup, output, step):
    setup = make_setup(labels=LABELS)
    torch.manual_seed(0)
    distiller = CRD(SMALL, setup)
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.3)
    student, teacher = output(setup.student, (), samples=40), output(setup.teacher, (), samples=40, seed=1)
    values = []
    for _ in range(40):
        loss = step(distiller, student, teacher, torch.arange(40))["crd"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        values.append(loss.item())
    assert sum(values[-5:]) < 0.8 * sum(values[:5])


def test_a_checkpoint_goes_on_to_the_same_bits(make_setup, output, step):
    def build() -> CRD:
        return CRD(SMALL, make_setup(labels=LABELS))

    setup = make_setup(labels=LABELS)
    pair = output(setup.student, ()), output(setup.teacher, (), seed=1)
    torch.manual_seed(0)
    distiller = build()
    for _ in range(3):
        step(distiller, *pair, INDEX)
    state = {name: value.clone() for name, value in distiller.state_dict().items()}
    resumed, copied = build(), copy.deepcopy(distiller)
    resumed.load_state_dict(state)
    for _ in range(2):
        expected = step(distiller, *pair, INDEX)["crd"]
        assert torch.equal(step(resumed, *pair, INDEX)["crd"], expected)
        assert torch.equal(step(copied, *pair, INDEX)["crd"], expected)
    assert torch.equal(resumed.loss.student_memory, distiller.loss.student_memory)


def test_the_draws_are_a_function_of_the_setups_generator(make_setup):
    one, same, other = (CRD(SMALL, make_setup(labels=LABELS, seed=seed)) for seed in (1, 1, 2))
    drawn = one.sampler(INDEX)
    assert torch.equal(same.sampler(INDEX), drawn)
    assert not torch.equal(other.sampler(INDEX), drawn)


def test_a_small_training_set_has_fewer_negatives(make_setup, output, step):
    setup = make_setup(labels=LABELS)
    distiller = CRD(CRDOptions(), setup)
    assert distiller.loss.negatives == distiller.sampler.negatives == 32
    assert step(distiller, output(setup.student, ()), output(setup.teacher, ()), INDEX)["crd"].isfinite()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_under_autocast_it_works_in_float32(make_setup, output, step, dtype):
    setup = make_setup(labels=LABELS)
    distiller = CRD(SMALL, setup)
    exact = copy.deepcopy(distiller)
    student, teacher = output(setup.student, ()), output(setup.teacher, (), seed=1)
    with torch.autocast("cpu", dtype=dtype):
        value = step(distiller, student, teacher, INDEX)["crd"]
    value.backward()
    torch.testing.assert_close(value, step(exact, student, teacher, INDEX)["crd"])
    assert all(parameter.grad.isfinite().all() for parameter in distiller.parameters())


def test_an_embedding_of_nothing_stays_finite(make_setup, output, step):
    setup = make_setup(labels=LABELS)
    distiller = CRD(SMALL, setup)
    for head in (distiller.student_head, distiller.teacher_head):
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    value = step(distiller, output(setup.student, ()), output(setup.teacher, ()), INDEX)["crd"]
    value.backward()
    assert value.isfinite()
    assert all(parameter.grad.isfinite().all() for parameter in distiller.parameters())


def test_on_the_meta_device_it_has_a_shape(make_setup, output, step):
    setup = make_setup(labels=LABELS)
    distiller = CRD(SMALL, setup).to("meta")
    student = output(setup.student, (), grad=True)
    pair = [
        ModelOutput(one.logits.to("meta"), embedding=one.embedding.detach().to("meta").requires_grad_())
        for one in (student, output(setup.teacher, ()))
    ]
    for _ in range(2):
        value = step(distiller, *pair, INDEX.to("meta"))["crd"]
        value.backward()
    assert (value.shape, value.device.type, distiller.sampler.draws) == ((), "meta", 2)
    assert pair[0].embedding.grad.shape == student.embedding.shape


def test_without_positions_it_says_so(make_setup, output, step):
    setup = make_setup(labels=LABELS)
    with pytest.raises(ValueError, match="no index"):
        step(CRD(SMALL, setup), output(setup.student, ()), output(setup.teacher, ()))


def test_without_a_training_set_or_a_teacher_it_says_so(make_setup):
    with pytest.raises(ValueError, match="train_size"):
        CRD(SMALL, make_setup(train_size=0))
    with pytest.raises(ValueError, match="learns from a teacher"):
        CRD(SMALL, make_setup(teacher=None))

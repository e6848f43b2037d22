from __future__ import annotations

import pytest
import torch
from kd_feature import FitNet, hint_loss
from kd_feature.options.maps import FitNetOptions

from kdcore import Requires, StageInfo


@pytest.mark.parametrize("shape", [(1, 3), (4, 5), (2, 3, 4, 5)])
def test_equals_the_papers_formula(oracle, draw, shape):
    student, teacher = draw(*shape), draw(*shape, seed=1)
    expected = oracle.hint(student.tolist(), teacher.tolist())
    assert hint_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_a_value_worked_out_by_hand():
    # differences 1, 2, 3, 0: (1 + 4 + 9 + 0) / 4
    student, teacher = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    assert hint_loss(student, teacher).item() == 3.5


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(2, 3, 2, 2).requires_grad_(), draw(2, 3, 2, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: hint_loss(s, teacher), (student,))


def test_features_of_two_shapes_are_refused(draw):
    with pytest.raises(ValueError, match=r"\[2, 3\].*\[2, 1\].*element by element"):
        hint_loss(draw(2, 3), draw(2, 1))


PAIRS = [
    ("cnn", "wide"),
    ("cnn", "fine"),
    ("fine", "cnn"),
    ("cnn", "vit"),
    ("vit", "cnn"),
    ("oblong", "mixer"),
]


@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("regressor", ["auto", "conv", "linear"])
def test_works_on_every_stage_of_every_pair(make_setup, output, step, pair, regressor):
    options = FitNetOptions(stages=(1, 2, 3, 4), regressor=regressor)
    setup = make_setup(*pair)
    distiller = FitNet(options, setup)
    student = output(setup.student, (1, 2, 3, 4), grad=True)
    teacher = output(setup.teacher, (1, 2, 3, 4), seed=1)
    terms = step(distiller, student, teacher)
    assert list(terms) == ["fitnet"]
    terms["fitnet"].backward()
    assert all(feature.map.grad.abs().sum() > 0 for feature in student.features.values())
    assert all(parameter.grad is not None for parameter in distiller.parameters())


def test_the_term_is_the_weighted_sum_over_the_stages(make_setup, output, step):
    setup = make_setup()
    distiller = FitNet(FitNetOptions(weight=3.0, stages=(1, 3), regressor="linear"), setup)
    student, teacher = output(setup.student, (1, 3)), output(setup.teacher, (1, 3), seed=1)
    expected = sum(
        ((regressor(student.features[stage].map) - teacher.features[stage].map) ** 2).mean()
        for regressor, stage in zip(distiller.regressors, (1, 3), strict=True)
    )
    torch.testing.assert_close(step(distiller, student, teacher)["fitnet"], 3 * expected)


def test_by_default_the_hint_is_the_second_stage(make_setup):
    distiller = FitNet(FitNetOptions(), make_setup())
    # batch norm relates the samples
    assert distiller.requires == Requires(
        student_stages=(2,), teacher_stages=(2,), whole_batch=True, teacher_logits=False
    )
    assert [type(layer).__name__ for layer in distiller.regressors[0]] == ["Conv2d", "BatchNorm2d", "ReLU"]


def test_stages_can_be_pairs_and_module_paths(make_setup, output, step):
    setup = make_setup()
    distiller = FitNet(FitNetOptions(stages=((1, "layer2.conv"), 4)), setup)
    assert distiller.requires.student_stages == (1, 4)
    assert distiller.requires.teacher_stages == ("layer2.conv", 4)
    student = output(setup.student, (1, 4))
    assert step(distiller, student, output(setup.teacher, ("layer2.conv", 4)))["fitnet"].isfinite()


@pytest.mark.parametrize(("teacher", "layers"), [("vit", 1), ("mixer", 1), ("wide", 3), ("oblong", 4)])
def test_no_relu_in_front_of_a_teacher_of_tokens(make_setup, teacher, layers):
    distiller = FitNet(FitNetOptions(), make_setup("cnn", teacher))
    assert len(distiller.regressors[0]) == layers
    assert distiller.requires.whole_batch == (layers > 1)


def test_a_module_path_of_a_teacher_of_tokens(make_setup):
    setup = make_setup("cnn", "vit")
    setup.teacher._probed["blocks.7"] = StageInfo("blocks.7", 12, (4, 4), prefix_tokens=1)
    assert len(FitNet(FitNetOptions(stages=((2, "blocks.7"),)), setup).regressors[0]) == 1


def test_prefix_tokens_are_left_aside(make_setup, output, step):
    setup = make_setup("vit", "vit")
    distiller = FitNet(FitNetOptions(), setup)
    student, teacher = output(setup.student, (2,), grad=True), output(setup.teacher, (2,), seed=1)
    step(distiller, student, teacher)["fitnet"].backward()
    assert student.features[2].prefix.grad is None


def test_without_a_teacher_it_says_so(make_setup):
    with pytest.raises(ValueError, match="learns from a teacher"):
        FitNet(FitNetOptions(), make_setup(teacher=None))

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from kd_feature import Theia, theia_loss
from kd_feature.options.embeddings import TheiaOptions
from torch.nn import functional as F

from kdcore import Batch, PreparesFromTeacher, Progress


@pytest.mark.parametrize("shape", [(1, 1, 3), (4, 3, 2)])
def test_equals_the_authors_formula(oracle, draw, shape):
    student, teacher = 2 * draw(*shape), draw(*shape, seed=1)
    rows = [one.flatten(1).tolist() for one in (student, teacher)]
    cosine = oracle.mean(oracle.dot(oracle.unit(a), oracle.unit(b)) for a, b in zip(*rows, strict=True))
    pairs = zip(*(oracle.flat(one) for one in rows), strict=True)
    expected = 0.9 * (1 - cosine) + 0.1 * oracle.mean(oracle.smooth_l1(a, b) for a, b in pairs)
    assert theia_loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_the_cosine_is_that_of_all_tokens_together():
    # tokens (2, 0) and (0, 1) against (2, 0) and (0, -1): cosine (4 - 1) / 5, smooth L1 1.5 of one in four
    student = torch.tensor([[[2.0, 0.0], [0.0, 1.0]]])
    teacher = torch.tensor([[[2.0, 0.0], [0.0, -1.0]]])
    assert theia_loss(student, teacher).item() == pytest.approx(0.9 * 0.4 + 0.1 * 1.5 / 4)


def test_the_gradient_is_that_of_the_formula(draw):
    student, teacher = draw(3, 4, 2).requires_grad_(), draw(3, 4, 2, seed=1)
    assert torch.autograd.gradcheck(lambda s: theia_loss(s, teacher), (student,))


@pytest.mark.parametrize("pair", [("cnn", "vit"), ("vit", "wide")], ids="-".join)
def test_the_distiller_standardises_the_teachers_tokens(make_setup, output, step, pair):
    setup = make_setup(*pair)
    distiller = Theia(TheiaOptions(weight=2.0), setup)
    assert isinstance(distiller, PreparesFromTeacher)
    student, teacher = output(setup.student, (4,)), output(setup.teacher, (4,), seed=1)
    more = output(setup.teacher, (4,), seed=2)
    images = torch.zeros(4, 3, 2, 2)
    distiller.prepare((one, Batch(images, None)) for one in (teacher, more))
    tokens = [one.features[4].map.flatten(2).mT for one in (teacher, more)]
    every = torch.cat(tokens).flatten(0, 1)
    target = (tokens[0] - every.mean(0)) / every.std(0)
    grid = teacher.features[4].map.shape[2:]
    projected = distiller.heads[0](F.interpolate(student.features[4].map, grid, mode="bilinear"))
    expected = 2 * theia_loss(projected, target)
    torch.testing.assert_close(step(distiller, student, teacher)["theia"], expected)
    resumed = Theia(TheiaOptions(weight=2.0), setup)
    resumed.load_state_dict(distiller.state_dict())
    torch.testing.assert_close(step(resumed, student, teacher)["theia"], expected)


def test_without_standardisation_there_is_no_pass_over_the_data(make_setup):
    distiller = Theia(TheiaOptions(standardise=False), make_setup("cnn", "vit"))
    assert not isinstance(distiller, PreparesFromTeacher)
    names = [type(one).__name__ for one in distiller.heads[0].layers]
    assert names == ["LayerNorm", "Conv2d", "ReLU", "LayerNorm", "Conv2d", "ReLU", "LayerNorm"]


def test_the_mean_over_several_teachers(make_setup, model, output):
    setup = make_setup("cnn", "vit")
    several = replace(setup, teacher=None, teachers={"a": model("vit"), "b": model("wide")})
    distiller = Theia(TheiaOptions(), several)
    assert distiller.requires.several_teachers
    assert dict(distiller.requires.teacher_stages) == {"a": (4,), "b": (4,)}
    teachers = {name: output(info, (4,), seed=1) for name, info in several.teachers.items()}
    batch = Batch(torch.zeros(4, 3, 2, 2), None)
    distiller.prepare([(teachers, batch)])
    student = output(setup.student, (4,))
    progress = Progress(epoch=0.0, step=0, total_steps=1, total_epochs=1)
    expected = []
    for number, one in enumerate(teachers.values()):
        target = one.features[4].map
        tokens = target.flatten(2).mT
        every = tokens.flatten(0, 1)
        resized = F.interpolate(student.features[4].map, target.shape[2:], mode="bilinear")
        projected = distiller.heads[number](resized)
        expected.append(theia_loss(projected, (tokens - every.mean(0)) / every.std(0)))
    found = distiller(student, teachers, batch, progress)["theia"]
    torch.testing.assert_close(found, torch.stack(expected).mean())


def test_a_spec_with_several_teachers_may_name_one(make_setup, model):
    setup = make_setup("cnn", "vit")
    named = replace(setup, teachers={"a": setup.teacher, "b": model("wide")})
    assert not Theia(TheiaOptions(), named).requires.several_teachers
    with pytest.raises(ValueError, match="there is none"):
        Theia(TheiaOptions(), make_setup("cnn", None))

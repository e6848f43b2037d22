from __future__ import annotations

import json
import math
from itertools import product

import pytest
import torch
from kd_classic import WKD, wkd_logit_loss
from kd_classic.class_costs import cka_costs, classifier_costs, file_costs
from kd_classic.options.decoupled import WKDOptions
from kd_classic.wkd import decay_factor, wkd_terms
from kd_dev.testing.values import model_of_shapes, setup_of
from safetensors.torch import save_file
from torch import nn

from kdcore import Batch, ModelOutput, PreparesFromTeacher, Requires, UserError, validate

PLAIN = {"temperature": 4.0, "gamma": 3.0, "regularization": 0.05, "iterations": 10}


def _cost(classes):
    """Not symmetric, so that rows and columns cannot be confused; some below 0."""
    generator = torch.Generator().manual_seed(3)
    return torch.rand(classes, classes, generator=generator, dtype=torch.float64) - 0.1


def slow(oracle, student, teacher, target, cost, *, temperature, gamma, regularization, iterations):
    losses = []
    for s, t, y in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        others = [k for k in range(len(s)) if k != y]
        p, q = (oracle.softmax(oracle.drop(row, y), temperature) for row in (s, t))
        price = [[max(cost[i][j].item(), 0) + 1e-8 for j in others] for i in others]
        kernel = [[math.exp(-c / regularization) for c in row] for row in price]
        n = range(len(others))
        u = [1 / len(others)] * len(others)
        for _ in range(iterations):
            v = [q[j] / (sum(kernel[i][j] * u[i] for i in n) + 1e-8) for j in n]
            u = [p[i] / (sum(kernel[i][j] * v[j] for j in n) + 1e-8) for i in n]
        distance = sum(u[i] * kernel[i][j] * v[j] * price[i][j] for i in n for j in n)
        target_term = -oracle.softmax(t)[y] * math.log(oracle.softmax(s)[y])
        losses.append(target_term + gamma * distance)
    return oracle.mean(losses)


@pytest.mark.parametrize("options", [PLAIN, {**PLAIN, "regularization": 0.5, "iterations": 1}])
@pytest.mark.parametrize(("samples", "classes"), [(1, 2), (5, 7), (2, 40)])
def test_equals_the_papers_formula(oracle, draw, samples, classes, options):
    student, teacher, target = draw(samples, classes)
    cost = _cost(classes)
    expected = slow(oracle, student, teacher, target, cost, **options)
    assert wkd_logit_loss(student, teacher, target, cost, **options).item() == pytest.approx(
        expected, rel=1e-9
    )


def test_the_gradient_flows_through_all_iterations(draw):
    student, teacher, target = draw(3, 5)
    assert torch.autograd.gradcheck(
        lambda s: wkd_logit_loss(s, teacher, target, _cost(5), **PLAIN),
        (student.requires_grad_(),),
        fast_mode=True,
    )


def test_moving_everything_from_one_class_to_another_costs_their_price():
    # without the target 2: the student is certain of class 0, the teacher of class 1
    cost = torch.tensor([[0.0, 0.3, 0.9], [0.3, 0.0, 0.9], [0.9, 0.9, 0.0]], dtype=torch.float64)
    student = torch.tensor([[50.0, 0.0, 0.0]], dtype=torch.float64)
    teacher = torch.tensor([[0.0, 50.0, 0.0]], dtype=torch.float64)
    _, distance = wkd_terms(
        student, teacher, torch.tensor([2]), cost, temperature=1.0, regularization=0.05, iterations=50
    )
    assert distance.item() == pytest.approx(0.3, rel=1e-4)


def test_the_targets_row_and_column_do_not_matter(draw):
    student, teacher, _ = draw(4, 5)
    target = torch.full((4,), 2)
    cost = _cost(5)
    other = cost.clone()
    other[2], other[:, 2] = 0.77, 0.33
    torch.testing.assert_close(
        wkd_logit_loss(student, teacher, target, cost, **PLAIN),
        wkd_logit_loss(student, teacher, target, other, **PLAIN),
    )


def test_no_matrix_for_each_sample(draw):
    student, teacher, target = draw(64, 200, dtype=torch.float32)
    largest = 0

    def look(saved):
        nonlocal largest
        largest = max(largest, saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(look, lambda saved: saved):
        wkd_logit_loss(student.requires_grad_(), teacher, target, _cost(200), **PLAIN)
    assert 0 < largest <= 200 * 200


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"regularization": 0.0}, "regularization is 0.0"),
        ({"iterations": 0}, "iterations is 0; it must be 1 or more"),
    ],
)
def test_values_that_do_not_fit(wrong, message):
    with pytest.raises(ValueError, match=message):
        wkd_logit_loss(
            torch.zeros(2, 3),
            torch.zeros(2, 3),
            torch.tensor([0, 1]),
            torch.zeros(3, 3),
            **{**PLAIN, **wrong},
        )


@pytest.mark.parametrize("cost", [torch.zeros(3, 4), torch.zeros(3), torch.zeros(3, 3, dtype=torch.long)])
def test_a_cost_that_does_not_fit(cost):
    with pytest.raises(ValueError, match=r"cost is .*; it must be floating point \[3, 3\]"):
        wkd_logit_loss(torch.zeros(2, 3), torch.zeros(2, 3), torch.tensor([0, 1]), cost, **PLAIN)


def _teacher(classifier):
    model = model_of_shapes("large")
    model.classifier = classifier
    return model


def test_costs_are_one_minus_the_sharpened_cosine_of_the_classifiers_rows():
    head = nn.Linear(2, 3)
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    half = math.sqrt(0.5)
    distances = torch.tensor([[0, 1, 1 - half], [1, 0, 1 - half], [1 - half, 1 - half, 0]])
    torch.testing.assert_close(classifier_costs(_teacher(head), 3, 0.0), distances, rtol=0, atol=1e-6)
    sharp = 1 - torch.exp(-2 * distances)
    torch.testing.assert_close(classifier_costs(_teacher(head), 3, 2.0), sharp, rtol=0, atol=1e-6)
    inside = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), head)
    torch.testing.assert_close(classifier_costs(_teacher(inside), 3, 0.0), distances, rtol=0, atol=1e-6)


@pytest.mark.parametrize("classifier", [None, nn.Identity(), nn.Linear(2, 4)])
def test_a_teacher_without_a_row_for_each_class_is_refused(classifier):
    setup = setup_of(model_of_shapes("small"), _teacher(classifier), num_classes=3)
    with pytest.raises(ValueError, match="large has none with 3 classes"):
        WKD(WKDOptions(), setup)


@pytest.mark.parametrize(
    ("epoch", "start", "factor"),
    [
        (0.0, 150, 1.0),
        (149.9, 150, 1.0),
        (150.0, 150, (1 + math.cos(math.pi / 90)) / 2),
        (194.5, 150, 0.5),
        (239.0, 150, 0.0),
        (0.0, 0, (1 + math.cos(math.pi / 240)) / 2),
        (10.0, 300, 1.0),
    ],
)
def test_gamma_falls_along_half_a_cosine(epoch, start, factor):
    assert decay_factor(epoch, start, 240) == pytest.approx(factor, abs=1e-12)


def test_the_distiller_weighs_its_terms(step, draw):
    student, teacher, target = draw(4, 5, dtype=torch.float32)
    head = nn.Linear(6, 5)
    setup = setup_of(model_of_shapes("small"), _teacher(head))
    options = WKDOptions(weight=0.5, gamma=10.0, temperature=2.0, decay_from_epoch=None)
    distiller = WKD(options, setup)
    assert distiller.requires == Requires(target=True, unlabelled="skipped")
    assert not distiller.state_dict()  # the costs follow from the teacher
    expected = wkd_terms(
        student,
        teacher,
        target,
        classifier_costs(setup.teacher, 5, 1.0),
        temperature=2.0,
        regularization=0.05,
        iterations=10,
    )
    terms = step(distiller, student, teacher, target)
    torch.testing.assert_close(terms, {"target": 0.5 * expected[0], "distance": 5.0 * expected[1]})
    late = WKD(options.model_copy(update={"decay_from_epoch": 0}), setup)
    assert step(late, student, teacher, target, epoch=0.0)["distance"].item() == 0  # the last epoch of one


def slow_cka(one, other):
    """As the authors compute it, from the features' products."""
    x, y = one - one.mean(0), other - other.mean(0)
    return (y.T @ x).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())


@pytest.mark.parametrize("sharpen", [0.0, 2.0])
def test_costs_from_logits_are_one_minus_the_linear_cka_of_the_classes(sharpen):
    outputs = torch.randn(4, 6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = cka_costs(outputs, sharpen)
    for i in range(4):
        for j in range(4):
            apart = (1 - slow_cka(outputs[i], outputs[j])).item()
            expected = apart if sharpen == 0 else 1 - math.exp(-sharpen * apart)
            assert found[i, j].item() == pytest.approx(expected, abs=1e-12)


def test_a_class_with_equal_logits_is_like_no_other():
    outputs = torch.randn(3, 4, 3, generator=torch.Generator().manual_seed(0))
    outputs[1] = 0.5
    costs = cka_costs(outputs, 0.0)
    assert costs[1].tolist() == [1.0, 0.0, 1.0]
    assert costs.isfinite().all()


def _with_logit_costs(**options):
    return WKD(WKDOptions(cost="logits", **options), setup_of(model_of_shapes("small"), _teacher(None)))


def _pass(logits, target):
    """The teacher's outputs in batches of four."""
    for part in torch.arange(len(logits)).split(4):
        yield ModelOutput(logits[part]), Batch(torch.zeros(len(part), 3, 2, 2), target[part])


def test_the_distiller_computes_its_costs_from_a_pass_and_keeps_them_in_its_state(draw, step):
    _, logits, _ = draw(17, 5, dtype=torch.float32)
    target = torch.arange(17) % 5  # the smallest classes have three samples
    distiller = _with_logit_costs(cost_samples=10)
    assert isinstance(distiller, PreparesFromTeacher)
    usual = WKD(WKDOptions(), setup_of(model_of_shapes("small"), _teacher(nn.Linear(2, 5))))
    assert not isinstance(usual, PreparesFromTeacher)
    student, teacher, labels = draw(4, 5, dtype=torch.float32)
    assert not step(distiller, student, teacher, labels)["distance"].isfinite()
    distiller.prepare(_pass(logits, target))
    by_class = torch.stack([logits[target == one][:3] for one in range(5)])
    torch.testing.assert_close(distiller.cost, cka_costs(by_class, 1.0))
    assert step(distiller, student, teacher, labels)["distance"].isfinite()
    resumed = _with_logit_costs()
    resumed.load_state_dict(distiller.state_dict())
    assert torch.equal(resumed.cost, distiller.cost)


def test_no_more_samples_than_asked_for(draw):
    _, logits, _ = draw(20, 5, dtype=torch.float32)
    target = torch.arange(20) % 5
    distiller = _with_logit_costs(cost_samples=2)
    distiller.prepare(_pass(logits, target))
    torch.testing.assert_close(distiller.cost, cka_costs(logits.reshape(4, 5, 5)[:2].transpose(0, 1), 1.0))


def test_costs_from_logits_that_cannot_be(draw):
    _, logits, _ = draw(6, 5, dtype=torch.float32)
    with pytest.raises(ValueError, match="two samples of each class, and class 1 has 1"):
        _with_logit_costs().prepare(_pass(logits, torch.arange(6) % 5))
    setup = setup_of(model_of_shapes("small"), _teacher(None), num_classes=21_841)
    with pytest.raises(ValueError, match="takes 227 GiB for 128 samples of each of 21841 classes"):
        WKD(WKDOptions(cost="logits"), setup)


DISTANCES = torch.tensor([[0.0, 0.3, 1.2], [0.3, 0.0, 0.5], [1.2, 0.5, -1e-7]])


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".PTH"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_costs_from_a_file_are_sharpened_distances(tmp_path, suffix, dtype):
    path = tmp_path / f"costs{suffix}"
    table = DISTANCES.to(dtype)
    save_file({"any": table}, path) if suffix == ".safetensors" else torch.save(table, path)
    for sharpen in (0.0, 2.0):
        found = file_costs(str(path), 3, sharpen)
        assert found.dtype == torch.float32
        for i, j in product(range(3), repeat=2):
            apart = table[i, j].item()
            expected = apart if sharpen == 0 else 1 - math.exp(-sharpen * apart)
            assert found[i, j].item() == pytest.approx(expected, abs=1e-6)


def test_the_distiller_keeps_the_files_costs_in_its_state(tmp_path):
    path = tmp_path / "costs.pth"
    torch.save(DISTANCES, path)
    options = WKDOptions(cost="file", cost_file=str(path), sharpen=0)
    setup = setup_of(model_of_shapes("small"), _teacher(None), num_classes=3)
    distiller = WKD(options, setup)
    assert not isinstance(distiller, PreparesFromTeacher)
    assert torch.equal(distiller.state_dict()["cost"], DISTANCES)
    torch.save(DISTANCES + 1, path)  # what a resumed run loads are the costs of its start
    resumed = WKD(options, setup)
    resumed.load_state_dict(distiller.state_dict())
    assert torch.equal(resumed.cost, DISTANCES)
    with torch.device("meta"):
        assert WKD(options, setup).cost.is_meta


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("costs.npy", DISTANCES, r"the ending '.npy'; allowed: .pt, .pth, .safetensors"),
        ("costs.pth", b"<html>", "cannot be read"),
        ("costs.safetensors", b"", "cannot be read"),
        ("costs.pth", {"a": DISTANCES, "b": DISTANCES}, r"holds 2 entries; it must be one tensor"),
        ("costs.pth", [1.0], r"holds list; it must be one tensor"),
        ("costs.pth", DISTANCES[:2], r"a tensor of shape \[2, 3\]; it must be \[3, 3\]"),
        ("costs.pth", torch.zeros(3, 3, dtype=torch.long), "not finite floating-point numbers"),
        ("costs.pth", DISTANCES.log(), "not finite floating-point numbers"),
    ],
)
def test_a_file_with_other_content_is_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=message) as caught:
        file_costs(str(path), 3, 1.0)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("options", [{"cost": "file"}, {"cost_file": "costs.pth"}])
def test_cost_and_file_belong_together(options):
    with pytest.raises(ValueError, match="belong together"):
        WKDOptions(**options)


def test_the_files_path_is_relative_to_the_spec(tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn, which is not installed")
    distiller = {"name": "wkd", "cost": "file", "cost_file": "costs.pth"}
    spec = {
        "data": {"dataset": "digits", "image_size": 32},
        "teacher": {"model": "resnet10t"},
        "student": {"model": "resnet10t"},
        "distiller": distiller,
    }
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match=r"distiller.cost_file"):
        validate(tmp_path / "spec.json")
    torch.save(torch.zeros(3, 3), tmp_path / "costs.pth")
    with pytest.raises(UserError, match=r"shape \[3, 3\]; it must be \[10, 10\]"):
        validate(tmp_path / "spec.json")
    torch.save(torch.rand(10, 10), tmp_path / "costs.pth")
    validate(tmp_path / "spec.json")

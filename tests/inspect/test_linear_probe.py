"""The linear probe, against scikit-learn's logistic regression."""

from __future__ import annotations

import pytest
import torch

from kdcore.inspect import linear_probe
from kdcore.inspect.encoder_measures import Embedded, measure_embeddings
from kdcore.inspect.linear_probe import PENALTIES, _fitted, fit_probe


@pytest.fixture(scope="module")
def images():
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(4, 10, generator=draw)
    labels = torch.randint(0, 4, (300,), generator=draw)
    scale = torch.logspace(-3, 3, 10)  # dimensions of very different sizes
    return (centres[labels] + torch.randn(300, 10, generator=draw)) * scale + 5, labels


@pytest.mark.parametrize("penalty", [1.0, 1e-2, 1e-4])
def test_it_is_logistic_regression(images, penalty):
    sklearn = pytest.importorskip("sklearn.linear_model")
    embeddings, labels = images
    data = (embeddings - embeddings.mean(0)) / embeddings.std(0, correction=0)
    # its C weighs the sum of the losses against half the squared weights
    oracle = sklearn.LogisticRegression(C=1 / (penalty * len(labels)), max_iter=2000, tol=1e-8)
    oracle.fit(data.double().numpy(), labels.numpy())
    found = _fitted(embeddings, labels, 4, penalty, None)
    torch.testing.assert_close(
        found.weight, torch.from_numpy(oracle.coef_).float(), rtol=0.02, atol=0.02 * abs(oracle.coef_).max()
    )
    assert (found(embeddings).numpy() == oracle.predict(data.double().numpy())).mean() > 0.99


def test_it_is_deterministic_and_leaves_its_input(images):
    embeddings, labels = images
    before = embeddings.clone()
    first, second = fit_probe(embeddings, labels, 4), fit_probe(embeddings, labels, 4)
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(embeddings, before)
    assert first.penalty in PENALTIES
    assert not first.weight.requires_grad


def test_chunks_change_nothing_but_rounding(images, monkeypatch):
    embeddings, labels = images
    whole = fit_probe(embeddings, labels, 4)
    monkeypatch.setattr(linear_probe, "_CHUNK", 4 * 64)
    parts = fit_probe(embeddings, labels, 4)
    assert torch.equal(whole(embeddings), parts(embeddings))


def test_a_strong_penalty_is_chosen_for_noise(images):
    draw = torch.Generator().manual_seed(1)
    labels = torch.randint(0, 2, (60,), generator=draw)
    noisy = torch.cat([labels.unsqueeze(1) * 2.0, torch.randn(60, 100, generator=draw)], dim=1)
    assert fit_probe(noisy, labels, 2).penalty > min(PENALTIES)


def test_a_constant_dimension_and_a_missing_class(images):
    embeddings, labels = images
    constant = torch.cat([embeddings, torch.full((300, 1), 7.0)], dim=1)
    found = fit_probe(constant, labels, 9)(constant)
    assert int(found.max()) < 4
    assert (found == labels).float().mean() > 0.8


def test_shapes_are_checked(images):
    embeddings, labels = images
    with pytest.raises(ValueError, match="must be"):
        fit_probe(embeddings, labels[:5], 4)
    with pytest.raises(ValueError, match="must be"):
        fit_probe(embeddings[:1], labels[:1], 4)


def test_without_a_gallery_half_of_the_images_answers(images):
    embeddings, labels = images
    whole = measure_embeddings(Embedded(embeddings, labels), None, 4, probe=True)
    assert whole.knn_top1 is not None
    assert whole.probe_top1 > 60
    # each of the 150 that ask is one part of 150
    assert (whole.knn_top1 * 1.5) == pytest.approx(round(whole.knn_top1 * 1.5))
    without = measure_embeddings(Embedded(embeddings, torch.full_like(labels, -1)), None, 4, probe=True)
    assert without.knn_top1 is None
    assert without.probe_top1 is None
    assert without.as_dict() == {}


def test_one_class_is_not_an_accuracy(images):
    embeddings, labels = images
    found = measure_embeddings(Embedded(embeddings, torch.zeros_like(labels)), None, 1, probe=True)
    assert found.as_dict() == {}


def test_agreement_is_the_mean_over_the_teachers(images):
    embeddings, labels = images
    queries = Embedded(embeddings, labels)
    mine = measure_embeddings(queries, None, 4).predictions
    other = measure_embeddings(Embedded(embeddings.flip(0), labels), None, 4).predictions
    found = measure_embeddings(queries, None, 4, teachers={"a": mine, "b": other})
    assert found.neighbour_agreements["a"] == 100
    assert found.neighbour_agreements["b"] < 50
    assert found.neighbour_agreement == pytest.approx(sum(found.neighbour_agreements.values()) / 2)
    alone = measure_embeddings(queries, None, 4, teachers={"a": mine})
    assert alone.as_dict()["neighbour_agreement"] == 100
    assert "neighbour_agreements" not in alone.as_dict()

"""k-NN classification and shared neighbours, against slow formulas."""

from __future__ import annotations

import math

import pytest
import torch

from kdcore.inspect import neighbours
from kdcore.inspect.neighbours import knn_classify, nearest_neighbours, shared_neighbours


def cosine(first, second):
    dot = sum(x * y for x, y in zip(first, second, strict=True))
    return dot / math.sqrt(sum(x * x for x in first) * sum(x * x for x in second))


def slow_knn(queries, gallery, labels, classes, k, temperature):
    found = []
    for query in queries.tolist():
        near = sorted(
            (
                (cosine(query, one), label)
                for one, label in zip(gallery.tolist(), labels.tolist(), strict=True)
            ),
            reverse=True,
        )
        votes = [0.0] * classes
        for similarity, label in near[:k]:
            votes[label] += math.exp(similarity / temperature)
        found.append(max(range(classes), key=votes.__getitem__))
    return found


@pytest.fixture
def images():
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(3, 6, generator=draw)
    labels = torch.arange(45) % 3
    return centres[labels] + 1.5 * torch.randn(45, 6, generator=draw), labels


@pytest.mark.parametrize(("k", "temperature"), [(1, 0.07), (5, 0.07), (5, 10.0), (100, 0.07)])
def test_knn_is_the_weighted_vote(images, k, temperature):
    embeddings, labels = images
    asked, gallery = embeddings[:15], embeddings[15:]
    found = knn_classify(asked, gallery, labels[15:], 3, k=k, temperature=temperature)
    assert found.tolist() == slow_knn(asked, gallery, labels[15:], 3, k, temperature)
    assert len(set(found.tolist())) > 1


def test_the_weights_and_not_only_the_count_decide():
    gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.5]])
    labels = torch.tensor([0, 1, 1])
    assert knn_classify(query, gallery, labels, 2, k=3).tolist() == [0]
    assert knn_classify(query, gallery, labels, 2, k=3, temperature=100.0).tolist() == [1]


def test_chunks_change_nothing(images, monkeypatch):
    embeddings, labels = images
    whole = knn_classify(embeddings, embeddings, labels, 3), nearest_neighbours(embeddings)
    monkeypatch.setattr(neighbours, "_CHUNK", 7 * len(labels))  # 7 rows at a time
    parts = knn_classify(embeddings, embeddings, labels, 3), nearest_neighbours(embeddings)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))


def test_the_scale_of_an_embedding_makes_no_difference(images):
    embeddings, labels = images
    scaled = embeddings * torch.logspace(-8, 8, len(labels)).unsqueeze(1)
    assert torch.equal(
        knn_classify(embeddings, embeddings, labels, 3), knn_classify(scaled, embeddings, labels, 3)
    )
    assert torch.equal(nearest_neighbours(embeddings), nearest_neighbours(scaled))


def test_an_image_is_not_its_own_neighbour(images):
    embeddings, _ = images
    found = nearest_neighbours(embeddings, k=44)
    for row, near in enumerate(found.tolist()):
        assert sorted(near) == [other for other in range(45) if other != row]
        similarity = [cosine(embeddings[row].tolist(), embeddings[one].tolist()) for one in near]
        assert similarity == sorted(similarity, reverse=True)


def test_shared_neighbours_are_sets():
    first = torch.tensor([[1, 2, 3], [0, 2, 4]])
    assert shared_neighbours(first, torch.tensor([[3, 1, 2], [2, 4, 0]])) == 1.0
    assert shared_neighbours(first, torch.tensor([[4, 1, 5], [2, 4, 3]])) == pytest.approx(3 / 6)
    assert shared_neighbours(first, torch.tensor([[4, 5, 6], [1, 3, 5]])) == 0.0


def test_what_is_wrong_is_said(images):
    embeddings, labels = images
    with pytest.raises(ValueError, match="gallery has no images"):
        knn_classify(embeddings, embeddings[:0], labels[:0], 3)
    with pytest.raises(ValueError, match="labels has the shape"):
        knn_classify(embeddings, embeddings, labels[:3], 3)
    with pytest.raises(ValueError, match="cannot be compared"):
        knn_classify(embeddings[:, :2], embeddings, labels, 3)
    with pytest.raises(ValueError, match="k is 0"):
        nearest_neighbours(embeddings, k=0)
    with pytest.raises(ValueError, match="two images or more"):
        nearest_neighbours(embeddings[:1])
    with pytest.raises(ValueError, match=r"both must be \[N, k\]"):
        shared_neighbours(torch.zeros(2, 3), torch.zeros(2, 4))

from __future__ import annotations

import pytest
import torch
from kd_report.reports.maps import embedding_map


def test_principal_components_by_hand():
    # points on a line in three dimensions: one component holds everything
    along = torch.tensor([[1.0], [2.0], [4.0], [9.0]])
    vectors = along @ torch.tensor([[3.0, 0.0, 4.0]])
    found = embedding_map(vectors, torch.zeros(4, 2), torch.tensor([0, 1, 0, 1]))
    assert found is not None
    assert found.explained == pytest.approx(100.0)
    distances = found.pca[:, 0] - found.pca[0, 0]
    assert distances.tolist() == pytest.approx([0.0, 5.0, 15.0, 40.0])
    assert found.pca[:, 1].abs().max() < 1e-9
    assert found.of == "embedding"


def test_the_classes_with_most_images_have_a_mark():
    classes = torch.arange(12).repeat_interleave(torch.tensor([1, 1, *[3] * 10]))
    found = embedding_map(None, torch.randn(32, 5, generator=torch.manual_seed(0)), classes)
    assert found is not None
    assert found.groups == tuple(range(2, 12))
    assert found.group.tolist()[:3] == [-1, -1, 2]
    assert found.of == "logits"


def test_too_few_or_equal_points_have_no_map():
    assert embedding_map(None, torch.randn(2, 5), torch.tensor([0, 1])) is None
    assert embedding_map(None, torch.ones(9, 5), torch.zeros(9, dtype=torch.int64)) is None


def test_t_sne_keeps_clusters_together():
    pytest.importorskip("sklearn", reason="t-SNE is scikit-learn's")
    classes = torch.arange(2).repeat_interleave(12)
    vectors = 20.0 * classes.unsqueeze(1) + torch.randn(24, 4, generator=torch.manual_seed(0))
    found = embedding_map(vectors, vectors, classes, tsne=True)
    assert found is not None
    assert found.tsne is not None
    one, other = found.tsne[:12], found.tsne[12:]
    within = max(torch.cdist(one, one).max().item(), torch.cdist(other, other).max().item())
    assert torch.cdist(one, other).min().item() > 0
    assert (one.mean(dim=0) - other.mean(dim=0)).norm().item() > within / 2

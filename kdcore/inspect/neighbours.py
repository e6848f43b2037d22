"""Nearest neighbours of embeddings: weighted k-NN classification, and the neighbours that two models share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch
import torch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

NEIGHBOURS: Final = 20
"""k of both measures, as in DINO (Caron et al. 2021)."""
TEMPERATURE: Final = 0.07
"""Of the votes' weights, exp(similarity / temperature), as in DINO's `eval_knn.py`."""
_CHUNK: Final = 16 * 2**20  # similarities that are held at once: 64 MB in float32


@torch.no_grad()
def knn_classify(
    queries: Tensor,
    gallery: Tensor,
    labels: Tensor,
    num_classes: int,
    *,
    k: int = NEIGHBOURS,
    temperature: float = TEMPERATURE,
) -> Tensor:
    """The class of each query `[Q]`: its k most similar gallery images vote with weight exp(cosine / temperature).

    The weights are computed relative to the nearest neighbour's, so that no temperature overflows.

    Args:
        queries: embeddings `[Q, D]`.
        gallery: embeddings `[N, D]`.
        labels: the class index of each gallery image `[N]`.
        num_classes: K.
        k: the number of neighbours; at most N are used.
        temperature: of the weights.

    Raises:
        ValueError: the gallery is empty, or the shapes do not fit.
    """
    _check(queries, gallery, k)
    if labels.shape != gallery.shape[:1]:
        raise ValueError(
            f"labels has the shape {list(labels.shape)}; it must be [N] = [{len(gallery)}], a class for each image "
            "of the gallery"
        )
    found = []
    for _, similarity in _similarities(queries, gallery, columns=num_classes):
        nearest = similarity.topk(min(k, len(gallery)), dim=1)
        weights = ((nearest.values - nearest.values[:, :1]) / temperature).exp()
        votes = weights.new_zeros(len(similarity), num_classes)
        votes.scatter_add_(1, labels[nearest.indices], weights)
        found.append(votes.argmax(dim=1))
    return torch.cat(found) if found else labels.new_empty(0)


@torch.no_grad()
def nearest_neighbours(embeddings: Tensor, *, k: int = NEIGHBOURS) -> Tensor:
    """The k images that are most similar to each image `[N, k]`, without the image itself, nearest first.

    Args:
        embeddings: `[N, D]`.
        k: the number of neighbours; at most N - 1 are given.

    Raises:
        ValueError: there are fewer than two images.
    """
    _check(embeddings, embeddings, k)
    size = len(embeddings)
    if size < 2:
        raise ValueError("an image has neighbours only among two images or more")
    found = []
    for start, similarity in _similarities(embeddings, embeddings):
        rows = torch.arange(len(similarity), device=similarity.device)
        similarity[rows, rows + start] = -torch.inf
        found.append(similarity.topk(min(k, size - 1), dim=1).indices)
    return torch.cat(found)


def shared_neighbours(first: Tensor, second: Tensor) -> float:
    """The share of common neighbours, from 0 to 1, of two models' `[N, k]` for the same images.

    Raises:
        ValueError: the shapes differ.
    """
    if first.shape != second.shape or first.dim() != 2:
        raise ValueError(
            f"the neighbours have the shapes {list(first.shape)} and {list(second.shape)}; both must be [N, k]"
        )
    common = sum(int((one.unsqueeze(1) == second).sum()) for one in first.unbind(1))
    return common / first.numel()


def _similarities(queries: Tensor, gallery: Tensor, columns: int = 0) -> Iterator[tuple[int, Tensor]]:
    """The cosine similarities of some queries at a time `[q, N]`, with the position of the first of them."""
    others = F.normalize(gallery.float(), dim=1).T
    rows = max(1, _CHUNK // max(len(gallery), columns))
    for start in range(0, len(queries), rows):
        yield start, F.normalize(queries[start : start + rows].float(), dim=1) @ others


def _check(queries: Tensor, gallery: Tensor, k: int) -> None:
    if queries.dim() != 2 or gallery.dim() != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            f"embeddings of the shapes {list(queries.shape)} and {list(gallery.shape)} cannot be compared; both must "
            "be [N, D] with one D"
        )
    if len(gallery) == 0:
        raise ValueError("the gallery has no images")
    if k < 1:
        raise ValueError(f"k is {k}; it must be 1 or more")

"""Embeddings in the plane: by PCA, and by t-SNE where scikit-learn is installed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor

POINTS: Final = 500
GROUPS: Final = 10  # classes that have a mark of their own


@dataclass(frozen=True)
class EmbeddingMap:
    """Some images in the plane.

    Attributes:
        pca: the first two principal components `[n, 2]`.
        explained: the share of the variance that they hold, in percent.
        tsne: t-SNE `[n, 2]`, or None.
        group: `[n]`, the class of each image, -1 for those without a mark of their own.
        groups: the classes with a mark.
        of: 'embedding', or 'logits' where the embedding is not known.
    """

    pca: Tensor
    explained: float
    tsne: Tensor | None
    group: Tensor
    groups: tuple[int, ...]
    of: str


def embedding_map(
    embedding: Tensor | None, logits: Tensor, classes: Tensor, *, tsne: bool = False
) -> EmbeddingMap | None:
    """The map of at most `POINTS` images `[N, D]`; None: there are too few images, or all are the same.

    Args:
        embedding: `[N, D]`, or None: the logits are taken.
        logits: `[N, K]`.
        classes: which class each image is shown as `[N]`.
        tsne: make a t-SNE map too.
    """
    vectors = logits if embedding is None else embedding
    chosen = torch.linspace(0, len(vectors) - 1, min(POINTS, len(vectors))).round().long()
    vectors, shown = vectors[chosen].double(), classes[chosen]
    if len(vectors) < 3 or not bool(vectors.isfinite().all()):
        return None
    centred = vectors - vectors.mean(dim=0)
    left, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    total = sizes.square().sum().item()
    if total <= 0 or len(sizes) < 2:
        return None
    axes = left[:, :2] * sizes[:2]
    # the sign of a component means nothing: the same one each time
    axes = axes * torch.where(axes.gather(0, axes.abs().argmax(dim=0, keepdim=True)) < 0, -1.0, 1.0)
    kept = _groups(shown)
    group = torch.where(torch.isin(shown, torch.tensor(kept)), shown, -1)
    return EmbeddingMap(
        axes,
        100 * sizes[:2].square().sum().item() / total,
        _tsne(left * sizes) if tsne and can_tsne() and len(vectors) > 10 else None,
        group,
        kept,
        "logits" if embedding is None else "embedding",
    )


def can_tsne() -> bool:
    """Whether scikit-learn is there."""
    return find_spec("sklearn") is not None


def _groups(shown: Tensor) -> tuple[int, ...]:
    """All classes if they are few, otherwise those with the most images."""
    found, counts = torch.unique(shown[shown >= 0], return_counts=True)
    order = counts.argsort(descending=True, stable=True)[:GROUPS]
    return tuple(sorted(found[order].tolist()))


def _tsne(vectors: Tensor) -> Tensor:
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    reduced = vectors[:, :50].numpy()
    perplexity = min(30.0, (len(reduced) - 1) / 3)
    # for so few points threads wait for each other longer than they work
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # of threads and deprecations inside
        mapped = TSNE(2, perplexity=perplexity, init="pca", random_state=0, max_iter=500).fit_transform(
            reduced
        )
    return torch.from_numpy(mapped).double()

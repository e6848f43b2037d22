"""The loss against the ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

LossKind = Literal["cross-entropy", "bce", "focal"]


@dataclass(frozen=True, kw_only=True, eq=False)
class TaskLoss:
    """A loss of logits `[B, K]` and targets: class indices `[B]`, or probabilities `[B, K]`.

    - `cross-entropy`: the mean over the batch; with class weights, the mean of indices is weighted too, as torch does
      (0 where all weights of a batch are 0).
    - `bce`: binary cross-entropy of each class against the (smoothed) target, the mean over batch and classes. Source:
      Wightman et al., "ResNet strikes back", 2021, and timm's `BinaryCrossEntropy`.
    - `focal`: cross-entropy times (1 - p)^gamma, p the probability of the target's class, the mean over the batch.
      Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, equation 5.

    With `labels`, the targets are any number of labels an image, 0 and 1 `[B, K]`, or values between them: each label
    is a question of its own. `bce` is smoothed towards 1/2, and `focal` is the binary cross-entropy of each label times
    (1 - p)^gamma, p the probability of its right answer; both are means over batch and labels. Source of the latter:
    the same equation, for each label.

    Attributes:
        kind: which of them.
        label_smoothing: the part of the target that is spread evenly over all classes.
        class_weights: a factor for each class `[K]`; None: 1.
        threshold: for `bce`: a target above it counts as 1, any other as 0; None: targets as they are.
        gamma: of `focal`.
        labels: whether an image has any number of labels.
        pos_weight: with `labels`, a factor for each label `[K]` in the loss of the images that have it; None: 1.
    """

    kind: LossKind = "cross-entropy"
    label_smoothing: float = 0.0
    class_weights: Tensor | None = None
    threshold: float | None = None
    gamma: float = 2.0
    labels: bool = False
    pos_weight: Tensor | None = None

    def __post_init__(self) -> None:
        if self.labels and self.kind == "cross-entropy":
            raise ValueError("cross-entropy is for one class an image; several labels need 'bce' or 'focal'")

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss, a scalar; computed in float32 inside autocast."""
        if self.kind == "cross-entropy":
            if self.class_weights is not None and target.dim() == 1:
                return self.of_labelled(logits, target, torch.ones_like(target, dtype=torch.bool))
            return self._cross_entropy(logits, target, self._weights(logits), "mean")
        return self._of_samples(logits, target).mean()

    def divisor(self, target: Tensor, labelled: Tensor | None = None) -> Tensor | None:
        """The sum of the samples' class weights, where a mean of indices `[B]` is divided by it; None elsewhere.

        With it, a mean over several parts of a batch can be made of those of its parts. Samples that are not `labelled`
        `[B]` do not count.
        """
        weights = self._weights(target)
        if self.kind != "cross-entropy" or weights is None or target.dim() != 1:
            return None
        if labelled is None:
            return weights[target].sum()
        return torch.where(labelled, weights[torch.where(labelled, target, 0)], 0.0).sum()

    def of_labelled(self, logits: Tensor, target: Tensor, labelled: Tensor) -> Tensor:
        """The loss of the samples with a label, `labelled` `[B]`, as if the others were not in the batch.

        Without any it is 0, with a gradient of zeros. The targets of the others may have any values. With several
        labels an image it is the mean over all labels of the batch that are known; those with a target below 0 are not.
        It waits for no device: the batch keeps its size.
        """
        if self.labels:
            seen = labelled.unsqueeze(1) & (target >= 0)
            parts = self._of_labels(logits, torch.where(seen, target, 0))
            return torch.where(seen, parts, 0.0).sum() / seen.sum().clamp(min=1)
        mask = labelled if target.dim() == 1 else labelled.unsqueeze(1)
        known = torch.where(mask, target, 0)
        losses = self._of_samples(logits, known)
        parts = labelled.to(losses.dtype)
        weights = self._weights(logits)
        if self.kind == "cross-entropy" and weights is not None and target.dim() == 1:
            parts = parts * weights.to(losses.dtype)[known]  # as torch: the mean of indices is weighted
        total = parts.sum()
        return torch.where(labelled, losses, 0.0).sum() / torch.where(total > 0, total, 1.0)

    def _weights(self, like: Tensor) -> Tensor | None:
        """The factors of the classes on the device of the logits or targets."""
        return None if self.class_weights is None else self.class_weights.to(like.device, torch.float32)

    def _of_samples(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each sample `[B]`, not yet divided by the weight of its class."""
        if self.labels:
            return self._of_labels(logits, target).mean(dim=1)
        weights = self._weights(logits)
        if self.kind == "cross-entropy":
            return self._cross_entropy(logits, target, weights, "none")
        if self.kind == "bce":
            return self._bce(logits, target, weights).mean(dim=1)
        return self._focal(logits, target, weights)

    def _of_labels(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of each label `[B, K]`."""
        weights = self._weights(logits)
        if self.kind == "bce":
            return self._bce(logits, target, weights)
        wide = _wide(logits)
        wanted = self._smoothed(target, wide)
        wrong = torch.sigmoid(-wide) * wanted + torch.sigmoid(wide) * (1 - wanted)
        factor = wrong.clamp_min(torch.finfo(wide.dtype).tiny) ** self.gamma
        return factor * self._binary(wide, wanted, weights)

    def _cross_entropy(
        self, logits: Tensor, target: Tensor, weights: Tensor | None, reduction: Literal["mean", "none"]
    ) -> Tensor:
        # autocast computes it in float32; the weights have to have the type of the logits
        if weights is not None:
            weights = weights.to(
                torch.float32 if torch.is_autocast_enabled(logits.device.type) else logits.dtype
            )
        smoothing = self.label_smoothing
        return F.cross_entropy(logits, target, weights, reduction=reduction, label_smoothing=smoothing)

    def _bce(self, logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        wide = _wide(logits)
        wanted = self._smoothed(target, wide)
        if self.threshold is not None:
            wanted = (wanted > self.threshold).to(wide.dtype)
        return self._binary(wide, wanted, weights)

    def _binary(self, logits: Tensor, wanted: Tensor, weights: Tensor | None) -> Tensor:
        """Binary cross-entropy of each class `[B, K]`."""
        positive = None if self.pos_weight is None else self.pos_weight.to(logits.device, logits.dtype)
        return F.binary_cross_entropy_with_logits(
            logits, wanted, weights, reduction="none", pos_weight=positive
        )

    def _focal(self, logits: Tensor, target: Tensor, weights: Tensor | None) -> Tensor:
        logs = _wide(logits).log_softmax(dim=1)
        wanted = self._smoothed(target, logs)
        # 1 - p from the logarithm: exact where p is close to 1
        others = -torch.expm1(logs)
        losses = wanted * others.clamp_min(torch.finfo(logs.dtype).tiny) ** self.gamma * -logs
        return (losses if weights is None else losses * weights).sum(dim=1)

    def _smoothed(self, target: Tensor, logits: Tensor) -> Tensor:
        """The target as `[B, K]`, smoothed."""
        if target.dim() == 1:
            target = F.one_hot(target, logits.shape[1])
        even = self.label_smoothing / (2 if self.labels else logits.shape[1])
        return target.to(logits.dtype) * (1 - self.label_smoothing) + even


def _wide(logits: Tensor) -> Tensor:
    """Float32, or a wider type that the logits have."""
    return logits if logits.dtype == torch.float64 else logits.float()

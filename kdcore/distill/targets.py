"""Check targets: class indices, or probabilities of the classes."""

from __future__ import annotations

import torch
from torch import Tensor

from kdcore.data.special_targets import UNLABELLED

_ROUNDING = 1e-3  # of a row's sum; 16-bit numbers get more
_ROUNDING_16 = 2e-2
_BELOW_ZERO = -1e-6
_CALLS = 256  # on an accelerator, the number of calls between two reads of the result


class TargetCheck:
    """Checks the targets of a loop: their shape and type in each call, their values if that is cheap.

    On the CPU, the values are checked in each call. On an accelerator, reading the result would make each step wait: it
    stays on the device, and is read at calls 1, 2, 4, 8, ... and then at every 256th call.

    With `some_labels`, -1 or a row of -1 is right: a sample without a label. With `labels`, an image has any number of
    labels: targets are numbers from 0 to 1 for each of them, and with `partly_labelled` -1 for each that is not known.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        some_labels: bool = False,
        labels: bool = False,
        partly_labelled: bool = False,
    ) -> None:
        self.num_classes, self.labels = num_classes, labels
        self.some_labels, self.partly_labelled = some_labels, partly_labelled
        self.values = True
        self._calls = 0
        self._found: Tensor | None = None

    def __call__(self, target: Tensor, batch: int) -> Tensor:
        """The target, class indices as int64.

        Raises:
            ValueError: it is neither class indices `[B]` nor probabilities `[B, K]`; the message describes it.
        """
        self._check_kind(target, batch)
        if target.dim() == 1:
            target = target.long()
        if self.values and not torch.compiler.is_compiling() and target.device.type != "meta":
            self._check_values(target)
        return target

    def _check_kind(self, target: Tensor, batch: int) -> None:
        shape, classes = list(target.shape), self.num_classes
        if self.labels:
            self._check_labels(target, batch)
            return
        allowed = f"class indices [B] = [{batch}] or probabilities [B, K] = [{batch}, {classes}]"
        kind = str(target.dtype).removeprefix("torch.")
        if target.dim() not in (1, 2):
            raise ValueError(f"target has the shape {shape}; allowed: {allowed}")
        if len(target) != batch:
            raise ValueError(
                f"target has {len(target)} rows, and there are {batch} images; allowed: {allowed}"
            )
        whole = not target.is_floating_point() and not target.is_complex() and target.dtype != torch.bool
        if target.dim() == 1 and not whole:
            raise ValueError(
                f"target {shape} is {kind}; class indices are integers: use target.long() if its values are "
                f"indices, or probabilities [B, K] = [{batch}, {classes}]"
            )
        if target.dim() == 2 and target.shape[1] != classes:
            hint = "; use target.squeeze(1)" if whole and target.shape[1] == 1 else ""
            raise ValueError(f"target has the shape {shape}; allowed: {allowed}{hint}")
        if target.dim() == 2 and not target.is_floating_point():
            raise ValueError(
                f"target {shape} is {kind}; probabilities are floating-point numbers: use target.float() if each "
                "row has a single 1"
            )

    def _check_labels(self, target: Tensor, batch: int) -> None:
        if list(target.shape) != [batch, self.num_classes] or not target.is_floating_point():
            kind = str(target.dtype).removeprefix("torch.")
            raise ValueError(
                f"target is {kind} of shape {list(target.shape)}; with several labels an image it must be "
                f"floating-point numbers [B, K] = [{batch}, {self.num_classes}]: 1 for each label of an image, "
                "0 for the others"
            )

    def _check_values(self, target: Tensor) -> None:
        why = _why_labels if self.labels else _why
        if target.device.type == "cpu":
            if bool(self._wrong(target).any()):
                raise ValueError(why(target, self._wrong(target), self.num_classes))
            return
        if target.is_cuda and torch.cuda.is_current_stream_capturing():
            return
        rows = self._wrong(target.detach())
        found = rows.any()
        self._found = found if self._found is None else self._found | found
        self._calls += 1
        if self._calls & (self._calls - 1) != 0 and self._calls % _CALLS != 0:
            return
        if bool(self._found):
            self._found = None
            now = bool(found)
            raise ValueError(
                why(target, rows, self.num_classes)
                if now
                else f"in an earlier batch, {_ALLOWED_LABELS if self.labels else _ALLOWED}"
            )

    def _wrong(self, target: Tensor) -> Tensor:
        """Which rows are wrong, `[B]`."""
        if self.labels:
            return self._wrong_labels(target)
        wrong = _wrong(target, self.num_classes)
        if not self.some_labels:
            return wrong
        return wrong & ~(target == UNLABELLED if target.dim() == 1 else (target == UNLABELLED).all(dim=1))

    def _wrong_labels(self, target: Tensor) -> Tensor:
        unknown = target == UNLABELLED
        if not self.partly_labelled:
            unknown = unknown.all(dim=1, keepdim=True) if self.some_labels else torch.zeros_like(unknown)
        return _wrong_labels(torch.where(unknown, 0, target))


def check_index(index: Tensor, batch: int, train_size: int) -> None:
    """Check positions in the training set: their shape and type, and on the CPU their values.

    Raises:
        ValueError: they are not positions in the training set.
    """
    whole = not index.is_floating_point() and not index.is_complex() and index.dtype != torch.bool
    if list(index.shape) != [batch] or not whole:
        kind = str(index.dtype).removeprefix("torch.")
        raise ValueError(
            f"index is {kind} of shape {list(index.shape)}; allowed: integers [B] = [{batch}], the samples' "
            "positions in the training set"
        )
    if index.device.type != "cpu" or torch.compiler.is_compiling() or batch == 0:
        return
    least, most = int(index.min()), int(index.max())
    if least < 0 or (train_size > 0 and most >= train_size):
        wrong = least if least < 0 else most
        raise ValueError(
            f"index has the position {wrong}; allowed: 0 to {train_size - 1}, since train_size is {train_size}"
        )


_ALLOWED_LABELS = "target had values that are not from 0 to 1"
_ALLOWED = "target was neither class indices from 0 to K - 1 nor probabilities, whose rows sum to 1"


def _wrong(target: Tensor, classes: int) -> Tensor:
    """Which rows are wrong, `[B]`; a row with NaN is wrong."""
    if target.dim() == 1:
        return (target < 0) | (target >= classes)
    sixteen = target.dtype in (torch.float16, torch.bfloat16)
    values = target.float()
    off = (values.sum(1) - 1).abs()
    return ~((off <= (_ROUNDING_16 if sixteen else _ROUNDING)) & (values.amin(1) >= _BELOW_ZERO))


def _why(target: Tensor, wrong: Tensor, classes: int) -> str:
    row = int(wrong.nonzero()[0])
    if target.dim() == 1:
        hint = (
            " (an image without a label has -1, which Distillation(some_labels=True) allows)"
            if int(target[row]) < 0
            else ""
        )
        return (
            f"target[{row}] is {int(target[row])}; allowed: class indices from 0 to {classes - 1}, since "
            f"num_classes is {classes}{hint}"
        )
    values = target[row].float()
    allowed = "allowed: probabilities of the classes, 0 or more, whose sum is 1"
    if not bool(values.isfinite().all()):
        return f"target[{row}] has values that are NaN or infinite; {allowed}"
    if float(values.amin()) < _BELOW_ZERO:
        return f"target[{row}] has the negative value {float(values.amin()):.4g}; {allowed}"
    several = int((values == 1).sum()) > 1
    hint = ". Several labels an image need Distillation(task='labels')" if several else ""
    return f"target[{row}] sums to {float(values.sum()):.4g}; {allowed}{hint}"


def _wrong_labels(target: Tensor) -> Tensor:
    """Which rows have values outside 0 to 1, or NaN, `[B]`."""
    return ~((target.amin(1) >= 0) & (target.amax(1) <= 1))


def _why_labels(target: Tensor, wrong: Tensor, classes: int) -> str:
    row = int(wrong.nonzero()[0])
    values = target[row]
    bad = values[~((values >= 0) & (values <= 1))]
    hint = ""
    if bool((values == UNLABELLED).all()):
        hint = " (-1 in a whole row, for an image whose labels are not known, needs Distillation(some_labels=True))"
    elif bool((bad == UNLABELLED).all()):
        hint = " (-1, for a label that is not known, needs Distillation(partly_labelled=True))"
    return f"target[{row}] has the value {float(bad[0]):.4g}; allowed: from 0 to 1, for each of {classes} labels{hint}"

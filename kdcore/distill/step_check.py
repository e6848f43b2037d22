"""Checks what a step is given, and what the models gave for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdcore.distill.passes import tensors_of, whole_logits
from kdcore.distill.targets import check_index

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from kdcore.distill.targets import TargetCheck
    from kdcore.protocols import ModelOutput, Requires


class StepCheck:
    """The checks of one `Distillation`.

    Args:
        needs: what each distiller requires, by name.
        union: what they require together.
        targets: checks the targets.
        num_classes: K; None: the student has no classifier.
        reads_target: there is a task loss.
        train_size: samples in the training set; 0: not known.
    """

    def __init__(
        self,
        needs: Mapping[str, Requires],
        union: Requires,
        targets: TargetCheck,
        *,
        num_classes: int | None,
        reads_target: bool,
        train_size: int,
    ) -> None:
        self._needs, self._union, self._targets = needs, union, targets
        self._num_classes, self._reads_target, self._train_size = num_classes, reads_target, train_size

    def trust_targets(self) -> None:
        """No longer check the targets' values."""
        self._targets.values = False

    def who(self, needs: Callable[[Requires], bool]) -> str:
        """The distillers whose requirements fulfil `needs`, as the start of a sentence: "distiller 'mine' needs"."""
        found = [f"'{name}'" for name, requires in self._needs.items() if needs(requires)]
        one = len(found) == 1
        return f"distiller{'' if one else 's'} {' and '.join(found)} need{'s' if one else ''}"

    def arguments(self, images: Tensor, target: Tensor | None, index: Tensor | None) -> Tensor | None:
        """Check them; returns the target in the type that losses read.

        Raises:
            ValueError: one is missing or wrong.
        """
        self._views(images)
        if self._union.sample_index:
            if index is None:
                who = self.who(lambda requires: requires.sample_index)
                raise ValueError(f"index is missing: {who} each sample's position in the training set")
            check_index(index, len(images), self._train_size)
        readers = ["the task loss needs"] if self._reads_target else []
        if self._union.target:
            readers.append(self.who(lambda requires: requires.target))
        if not readers:
            return target
        if target is None:
            raise ValueError(f"target is missing: {' and '.join(readers)} the ground truth")
        return self._targets(target, len(images))

    def _views(self, images: Tensor) -> None:
        if images.dim() not in (4, 5):
            raise ValueError(
                f"images has the shape {list(images.shape)}; allowed: [B, C, H, W], or [B, V, C, H, W] for V views"
            )
        views = images.shape[1] if images.dim() == 5 else 1
        wanted = self._union.num_views
        if views != wanted:
            who = self.who(lambda requires: requires.num_views == wanted)
            raise ValueError(f"{who} {wanted} views of each image, images has {views}")

    def partner(self, images: Tensor, partner: Tensor | None) -> None:
        """Check the partners of these images.

        Raises:
            ValueError: they are missing, or their shape is not that of the images.
        """
        wanted = [images.shape[0], *images.shape[-3:]]
        if partner is None and self._union.partner is not None:
            who = self.who(lambda requires: requires.partner is not None)
            raise ValueError(f"partner is missing: {who} another image of the class for each image, {wanted}")
        if partner is not None and list(partner.shape) != wanted:
            raise ValueError(f"partner has the shape {list(partner.shape)}; allowed: {wanted}")

    def outputs(self, student: ModelOutput, taught: Mapping[str, ModelOutput], batch: int) -> Tensor:
        """Check the shapes of all outputs; returns the student's logits, or an encoder's embedding.

        Raises:
            ValueError: one is not that of a batch of this size, or the logits are not those of the classes.
        """
        logits, classes = whole_logits(student), self._num_classes
        if classes is None and logits.dim() != 2:
            raise ValueError(
                f"the student has no classifier and gives an output of the shape {list(logits.shape)}; it must give "
                "its embedding [B, D]"
            )
        if classes is not None and (logits.dim() != 2 or logits.shape[1] != classes):
            raise ValueError(
                f"the student gives logits of the shape {list(logits.shape)}, and num_classes is "
                f"{classes}: the shape must be [{batch}, {classes}]"
            )
        sizes = {len(tensor) for output in taught.values() for tensor in tensors_of(output)}
        if sizes - {batch}:
            raise ValueError(
                f"the teacher's output is for {max(sizes - {batch})} images, and the batch has {batch}"
            )
        return logits

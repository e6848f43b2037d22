"""A model of a run that was opened again, with what it needs to see images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from kdcore.inspect.predictions import Predictor
from kdcore.models.parameters import count_parameters

if TYPE_CHECKING:
    from kdcore.data.inputs import InputConfig


@dataclass(frozen=True, kw_only=True)
class OpenedModel(Predictor):
    """A model in evaluation mode.

    Attributes:
        name: as in the spec.
        input: size and normalisation of its images.
    """

    name: str
    input: InputConfig

    @property
    def parameters(self) -> int:
        """The number of its parameters, trained or frozen."""
        return count_parameters(self.model)

    @property
    def weights_bytes(self) -> int:
        """The bytes of its parameters and buffers."""
        held = (*self.model.parameters(), *self.model.buffers())
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

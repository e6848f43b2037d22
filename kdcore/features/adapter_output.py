"""Check what a feature adapter gives, because its code comes from a plugin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor

from kdcore.errors import Problem, UserError, listed
from kdcore.plugins.calling import MISTAKE
from kdcore.plugins.owner import owned
from kdcore.protocols import FeatureMap, ModelOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kdcore.protocols import FeatureAdapter, Stage


def check_output(
    adapter: FeatureAdapter, output: Any, stages: Sequence[Stage], *, embedding: bool, batch: int
) -> None:
    """Check the output of one pass for `batch` images: its type, the maps of `stages`, and the embedding if requested.

    Raises:
        UserError: it is something else than an adapter has to give; the message names the adapter and its plugin.
    """
    found = _fault(output, stages, embedding, batch)
    if found is not None:
        message = f"{owned(f'adapter {type(adapter).__name__}', adapter)}: forward() {found}"
        raise UserError(Problem("", message, hint=MISTAKE))


def _fault(output: Any, stages: Sequence[Stage], embedding: bool, batch: int) -> str | None:
    if not isinstance(output, ModelOutput):
        return f"returned {type(output).__name__}; it must return a kdcore.ModelOutput"
    if output.logits is None:
        return "gave None as logits; they must be those of model(images)"
    features: Any = output.features
    if not isinstance(features, Mapping):
        return f"gave its maps as {type(features).__name__}; it must be a dict by stage"
    for stage in stages:
        if stage not in features:
            given = listed(str(one) for one in features) or "none"
            return f"gave no map of stage {stage}, which stages() announces; it gave those of: {given}"
        if fault := _map_fault(features[stage], batch):
            return f"gave as stage {stage} {fault}"
    if embedding and not _has_shape(output.embedding, 2, batch):
        return f"gave {_kind(output.embedding)} as embedding; for {batch} images [{batch}, D] is required"
    return None


def _map_fault(feature: Any, batch: int) -> str | None:
    if not isinstance(feature, FeatureMap):
        return f"{_kind(feature)}; it must be a kdcore.FeatureMap"
    if not _has_shape(feature.map, 4, batch):
        return f"a map that is {_kind(feature.map)}; for {batch} images [{batch}, C, H, W] is required"
    if feature.prefix is not None and not _has_shape(feature.prefix, 3, batch):
        return f"a prefix that is {_kind(feature.prefix)}; for {batch} images [{batch}, P, C] is required"
    return None


def _has_shape(value: Any, dimensions: int, batch: int) -> bool:
    return isinstance(value, Tensor) and value.dim() == dimensions and len(value) == batch


def _kind(value: Any) -> str:
    return f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__

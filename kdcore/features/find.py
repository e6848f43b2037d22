"""Find the feature adapter of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from kdcore.entries import AdapterEntry
from kdcore.errors import Problem, UserError
from kdcore.features.logits_only import PlainAdapter
from kdcore.features.timm import TimmAdapter, is_timm_model
from kdcore.plugins.calling import MISTAKE, call_fault
from kdcore.protocols import FeatureAdapter

if TYPE_CHECKING:
    from torch import nn

    from kdcore.plugins import Plugins, Provided

_CALLED_WITH: Final = {
    "stages": ("model", "image_size"),
    "forward": ("model", "images", "stages", "embedding"),
}


def find_adapter(model: nn.Module, name: str | None, plugins: Plugins, where: str) -> FeatureAdapter:
    """The adapter called `name`, or without a name the one declared for the model's class or its nearest base class.

    A timm model without such an adapter gets the generic one; any other model gets one that gives only logits.

    Raises:
        UserError: there is no adapter of this name, it cannot be loaded, or two are declared for one class.
    """
    if name is not None:
        return _load(plugins.find(AdapterEntry, name, where), plugins, where)
    model = cast("nn.Module", getattr(model, "_orig_mod", model))
    adapters = plugins.all(AdapterEntry)
    for cls in type(model).__mro__:
        dotted = f"{cls.__module__}:{cls.__qualname__}"
        serving = [provided for provided in adapters if dotted in provided.entry.models]
        if len(serving) > 1:
            names = sorted(provided.qualified for provided in serving)
            raise UserError(
                Problem(
                    where,
                    f"two adapters are declared for {dotted}: {' and '.join(names)}",
                    hint=f'choose one ("adapter": "{names[0]}"), or disable one with KD_DISABLE_PLUGINS',
                )
            )
        if serving:
            return _load(serving[0], plugins, where)
    return TimmAdapter() if is_timm_model(model) else PlainAdapter()


def _load(provided: Provided[AdapterEntry], plugins: Plugins, where: str) -> FeatureAdapter:
    who = f"adapter '{provided.entry.name}' of plugin {provided.plugin.label}"
    factory = plugins.load(provided, where)
    fault = call_fault(factory)
    if fault is not None:
        raise UserError(Problem(where, f"{who}: {provided.entry.target} {fault}", hint=MISTAKE))
    adapter = factory()
    if not isinstance(adapter, FeatureAdapter):
        message = f"{who} does not have the methods 'stages' and 'forward' of an adapter"
        raise UserError(Problem(where, message, hint=MISTAKE))
    for name, arguments in _CALLED_WITH.items():
        fault = call_fault(getattr(adapter, name), *arguments)
        if fault is not None:
            raise UserError(Problem(where, f"{who}: its {name} {fault}", hint=MISTAKE))
    return adapter

"""The call that builds a network again without kd: with timm, or with the plugin that has the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdcore.models.architecture import PluginArchitecture, find_architecture
from kdcore.spec.resolve import arguments as arguments_of
from kdcore.spec.resolve import resolve_options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kdcore.plugins import Plugins
    from kdcore.spec.models import ModelSpec


@dataclass(frozen=True, kw_only=True)
class ModelCall:
    """The call of a function that gives a network with its initial weights.

    Attributes:
        module: the module that has the function.
        function: its name.
        arguments: the positional arguments.
        keywords: the keyword arguments.
        distribution: the distribution that has the module.
    """

    module: str
    function: str
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    distribution: str


def find_model_call(
    spec: ModelSpec, *, num_classes: int, in_chans: int, image_size: tuple[int, int], plugins: Plugins
) -> ModelCall:
    """The call for a run's student; what a small-input variant of timm's model changes afterwards is not in it.

    Raises:
        UserError: there is no such model, or an option is wrong.
    """
    found = find_architecture(spec.model, plugins, "student")
    if isinstance(found, PluginArchitecture):
        provided = found.provided
        checked = resolve_options(provided, spec.options, plugins, "student.options")
        module, _, function = provided.entry.target.partition(":")
        return ModelCall(
            module=module,
            function=function,
            arguments=(num_classes, in_chans),
            keywords=spec.options if checked is None else arguments_of(checked),
            distribution=provided.plugin.distribution,
        )
    options = found.arguments(spec.options, spec.small_input, image_size, "student")
    tuples = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    return ModelCall(
        module="timm",
        function="create_model",
        arguments=(found.name,),
        keywords={"num_classes": num_classes, "in_chans": in_chans, **tuples},
        distribution="timm",
    )

"""The feature adapter for transformers' image classifiers: the hidden states that they return themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from kd_teachers.compat import install_again
from kd_teachers.transformers_folder import of_images
from kdcore import FeatureMap, ModelOutput, Problem, Stage, StageInfo, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

_STAGES: Final = 4
_MOST: Final = 16  # class and register tokens; with more of them the patches overlap


class TransformersAdapter:
    """Stages are hidden states; the embedding is what the classifier gets.

    Stages 1 to 4 are the last states of the last four grids; where the grid never changes, those after a quarter,
    half, three quarters and all of the layers.
    """

    def stages(self, model: nn.Module, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        """Stages 1 to 4 at this input size `(height, width)`.

        Raises:
            UserError: the model does not return its hidden states.
        """
        parameter = next(model.parameters())
        config: Any = model.config
        channels = getattr(getattr(config, "vision_config", config), "num_channels", 3)
        modes = {module: module.training for module in model.modules()}
        model.eval()
        try:
            with torch.no_grad():
                images = torch.zeros(1, channels, *image_size, device=parameter.device, dtype=parameter.dtype)
                found = self.forward(model, images, range(1, _STAGES + 1), False).features
        finally:
            for module, training in modes.items():
                module.training = training
        return tuple(
            StageInfo(
                stage,
                one.map.shape[1],
                (one.map.shape[2], one.map.shape[3]),
                0 if one.prefix is None else one.prefix.shape[1],
            )
            for stage, one in found.items()
        )

    def forward(
        self, model: nn.Module, images: Tensor, stages: Sequence[Stage], embedding: bool
    ) -> ModelOutput:
        """One pass of the model."""
        got: list[Tensor] = []
        network: Any = model
        hook = None
        if embedding:
            hook = _first_classifier(network).register_forward_pre_hook(lambda _, given: got.append(given[0]))
        try:
            output = network(images, output_hidden_states=bool(stages), return_dict=True)
            if stages and not output.hidden_states and install_again(network):
                got.clear()
                output = network(images, output_hidden_states=True, return_dict=True)
        finally:
            if hook is not None:
                hook.remove()
        features: dict[Stage, FeatureMap] = {}
        if stages:
            maps = _maps(network, output, (images.shape[-2], images.shape[-1]))
            features = {stage: maps[stage - 1] for stage in stages if isinstance(stage, int)}
        return ModelOutput(output.logits, features, got[0].flatten(1) if embedding else None)


def _first_classifier(model: Any) -> Any:
    found = model.get_classifier()
    if found is None:
        message = f"kd does not know where {type(model).__name__} has its classifier, so it has no embedding"
        raise UserError(Problem("", message, hint="use a distiller of logits, or of stages"))
    return found[0] if isinstance(found, tuple) else found


def _maps(model: Any, output: Any, size: tuple[int, int]) -> list[FeatureMap]:
    states = getattr(output, "reshaped_hidden_states", None) or output.hidden_states
    if not states:
        raise UserError(
            Problem(
                "",
                f"{type(model).__name__} does not return its hidden states",
                hint="name module paths as stages",
            )
        )
    after = list(states[1:])  # the first is what the first layer gets
    shapes = [tuple(state.shape[2:]) for state in after]
    if len(set(shapes)) == 1 and len(after) >= _STAGES:
        chosen = [after[len(after) * number // _STAGES - 1] for number in range(1, _STAGES + 1)]
    else:
        ends = [
            state
            for state, own, following in zip(after, shapes, [*shapes[1:], None], strict=True)
            if own != following
        ]
        chosen = (ends if len(ends) >= _STAGES else after)[-_STAGES:]
    if len(chosen) < _STAGES:
        chosen = [chosen[min(number, len(chosen) - 1)] for number in range(_STAGES)]
    return [_feature_map(state, size, _patch_side(model)) for state in chosen]


def _patch_side(model: Any) -> int | None:
    """The side of the patches that become tokens, if the configuration says it."""
    side = getattr(of_images(model.config), "patch_size", None)
    return side if isinstance(side, int) else None


def _feature_map(state: Tensor, size: tuple[int, int], patch: int | None) -> FeatureMap:
    if state.dim() == 4:
        return FeatureMap(state)
    tokens = state.shape[1]
    if patch is not None and 0 <= (prefix := tokens - (size[0] // patch) * (size[1] // patch)) <= _MOST:
        return _split(state, prefix, size[0] // patch)
    height = int((tokens * size[0] / size[1]) ** 0.5)  # a few tokens more than the grid come first
    for rows in range(height, 0, -1):
        columns = round(rows * size[1] / size[0])
        prefix = tokens - rows * columns
        if prefix >= 0:
            return _split(state, prefix, rows)
    raise UserError(Problem("", f"{tokens} tokens do not form a grid", hint="name module paths as stages"))


def _split(state: Tensor, prefix: int, rows: int) -> FeatureMap:
    """The first tokens, and the others as a grid of this number of rows."""
    spatial = state[:, prefix:].transpose(1, 2).reshape(len(state), state.shape[2], rows, -1)
    return FeatureMap(spatial, state[:, :prefix] if prefix else None)

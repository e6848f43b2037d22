"""One forward pass that yields everything that was requested: logits, stages, modules by path, embedding."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor, nn

from kdcore.errors import Problem, UserError
from kdcore.features.adapter_output import check_output
from kdcore.features.heads import split_logits
from kdcore.features.layout import as_feature_map
from kdcore.features.references import attention_map, parse_stage, watch
from kdcore.features.tap import Tap
from kdcore.protocols import FeatureAdapter, FeatureMap, GivesMaps, ModelOutput, PreparesModel, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.utils.hooks import RemovableHandle


class Extractor:
    """Runs a model once and gives `ModelOutput`.

    Numbered stages and the embedding come from the adapter, module paths from forward hooks, which `close` removes.
    A module that runs several times in a pass gives its last output (or input, or attention). If a later operation of
    the model changes that tensor in place, as a ReLU after a batch norm does, a copy is made.

    Args:
        model: the model.
        adapter: its feature adapter.
        stages: 1..4, module paths (`layer3.1.conv2`), inputs of modules (`PATH:in`), weights of attentions
            (`attention:PATH`).
        embedding: whether to give the embedding.
        checked: whether to check what the adapter gives, see `adapter_output`; for a first pass.

    Raises:
        UserError: the model has no module of that path, or its attention weights cannot be read.
    """

    def __init__(
        self,
        model: nn.Module,
        adapter: FeatureAdapter,
        stages: Sequence[Stage] = (),
        embedding: bool = False,
        *,
        checked: bool = False,
    ) -> None:
        self.model = model
        self._checked = checked
        self.adapter = adapter
        self.numbers = tuple(stage for stage in stages if isinstance(stage, int))
        self.paths = tuple(stage for stage in stages if isinstance(stage, str))
        self.embedding = embedding
        references = {path: parse_stage(path) for path in self.paths}
        modules = {path: find_module(model, one.path) for path, one in references.items()}
        if isinstance(adapter, PreparesModel) and (self.numbers or embedding):
            adapter.prepare(model)
        stops_early = bool(self.numbers) and not self.paths and not embedding
        self._maps = adapter if stops_early and isinstance(adapter, GivesMaps) else None
        self._taps = {path: Tap() for path in self.paths}
        self._references = references
        self._handles: list[RemovableHandle] = []
        for path, module in modules.items():
            try:
                self._handles.append(watch(module, references[path], self._taps[path]))
            except ValueError as error:
                self.close()
                raise UserError(Problem("", f"'{path}' of {type(model).__name__}: {error}")) from error

    def __call__(self, images: Tensor) -> ModelOutput:
        """`[B, C, H, W]` -> the model's output; `model(images)` if only the logits are requested.

        Raises:
            UserError: a module did not run, or its output is not a feature map.
            RunFailed: an output was changed in place, and in earlier passes of this mode it was not.
        """
        for tap in self._taps.values():
            tap.begin()
        if self.numbers or self.embedding:
            output = self.adapter.forward(self.model, images, self.numbers, self.embedding)
            if self._checked:
                check_output(self.adapter, output, self.numbers, embedding=self.embedding, batch=len(images))
        else:
            output = ModelOutput(self.model(images))
        if not isinstance(output.logits, Tensor):  # an adapter that gives what the model returned
            logits, second = split_logits(output.logits, self.model)
            output = replace(output, logits=logits, distillation_logits=second)
        if not isinstance(output.logits, Tensor):
            raise UserError(
                Problem(
                    "",
                    f"{type(self.model).__name__} returns several outputs; a classifier returns one tensor [B, K]",
                )
            )
        if not self._taps:
            return output
        features = dict(output.features)
        for path, tap in self._taps.items():
            features[path] = self._feature(path, tap, images)
        return replace(output, features=features)

    @property
    def has_maps(self) -> bool:
        """Whether `maps` can be called: only numbered stages are requested, and the adapter can give them alone."""
        return self._maps is not None

    def maps(self, images: Tensor) -> ModelOutput:
        """Only the numbered stages: nothing after the deepest of them runs, and the logits are None."""
        assert self._maps is not None, "see has_maps"
        return ModelOutput(None, self._maps.maps(self.model, images, self.numbers))

    def close(self) -> None:
        """Remove the hooks from the model; afterwards the extractor gives no module paths."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _feature(self, path: str, tap: Tap, images: Tensor) -> FeatureMap:
        reference = self._references[path]
        where = f"{reference.where} of {type(self.model).__name__}"
        caught, output = tap.end(where)
        if not caught:
            raise UserError(Problem("", f"{where} did not run in the forward pass"))
        size = (images.shape[2], images.shape[3])
        try:
            if reference.kind == "attention":
                return attention_map(output, images.shape[0])
            return as_feature_map(output, self.model, size, images.shape[0])
        except ValueError as error:
            problem = Problem("", f"{where} cannot be a stage: {error}", hint="name another module")
            raise UserError(problem) from error


def find_module(model: nn.Module, path: str) -> nn.Module:
    """The module at `path`.

    Raises:
        UserError: there is none; the message names the nearest path.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if path and path in modules:
        return modules[path]
    near = difflib.get_close_matches(path, [name for name in modules if name], n=3, cutoff=0.5)
    children = [name for name, _ in model.named_children()]
    raise UserError(
        Problem(
            "",
            f"{type(model).__name__} has no module '{path}'",
            nearest=near[0] if near else None,
            allowed="stages 1, 2, 3, 4 or a module path: "
            + (", ".join(near) if near else ", ".join(children) + " and those inside them"),
        )
    )

"""The adapter under test, with one model that it supports."""

from __future__ import annotations

import copy
import functools
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from kd_dev.testing.check import skip
from kdcore import AdapterEntry, FeatureAdapter, FeatureMap, ModelOutput, Problem, UserError
from kdcore.inspect import ModelSpec, build_model
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kd_dev.testing import Model
    from kdcore import Provided, Stage, StageInfo

Size = tuple[int, int]
CLASSES: Final = 7
SAMPLES: Final = 2
CHANNELS: Final = 3
_DROP: Final = 0.2
_SEED: Final = 23


class AdapterSubject:
    """A feature adapter and a model.

    Attributes:
        name: the name of both, for test ids.
        provided: the adapter's declaration; None if a class was given.
    """

    def __init__(
        self,
        name: str,
        provided: Provided[AdapterEntry] | None,
        factory: Any,
        model: str | Callable[[], nn.Module],
        size: Size | None,
    ) -> None:
        self.name = name
        self.provided = provided
        self._factory = factory
        self._model = model
        self._size = size

    @cached_property
    def factory(self) -> Any:
        """The adapter's class."""
        return self._factory if self.provided is None else get_plugins().load(self.provided, self.name)

    def adapter(self) -> FeatureAdapter:
        """A new instance."""
        adapter: FeatureAdapter = self.factory()
        return adapter

    # -- the model -------------------------------------------------------------------------------------------

    @cached_property
    def _built(self) -> tuple[nn.Module, Size]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_SEED)
            if isinstance(self._model, str):
                built = build_model(
                    ModelSpec(model=self._model),
                    num_classes=CLASSES,
                    in_chans=CHANNELS,
                    image_size=self._size,
                    plugins=get_plugins(),
                    where="model",
                )
                model, size = built.model, built.input.image_size
            else:
                model, size = self._model(), self._size or (32, 32)
            _enliven(model)
        return model, size

    @property
    def size(self) -> Size:
        """Height and width of the images."""
        return self._built[1]

    def model(self) -> nn.Module:
        """A copy of the model, with the same weights each time, in evaluation mode; its dropout rates are above 0.

        Raises:
            unittest.SkipTest: the check `serves` fails.
        """
        self._found()
        return self.any_model()

    def any_model(self) -> nn.Module:
        """The same, whether or not the adapter supports the model."""
        return copy.deepcopy(self._built[0]).eval()

    def images(self, size: Size | None = None) -> torch.Tensor:
        """`[B, 3, H, W]`."""
        generator = torch.Generator().manual_seed(_SEED)
        return torch.randn(SAMPLES, CHANNELS, *(size or self.size), generator=generator)

    # -- results ---------------------------------------------------------------------------------------------

    @cached_property
    def plain(self) -> tuple[tuple[StageInfo, ...], bool] | Exception:
        """The announced stages and whether it gives an embedding, or the exception that it raised."""
        try:
            return self._look()
        except Exception as error:
            return error

    def _look(self) -> tuple[tuple[StageInfo, ...], bool]:
        adapter, model, images = self.adapter(), self.any_model(), self.images()
        if not isinstance(adapter, FeatureAdapter):
            raise TypeError("it does not have the methods 'stages' and 'forward' of an adapter")
        try:
            announced = tuple(adapter.stages(model, self.size))
        except UserError:  # it may not have stages for this model
            announced = ()
        with torch.no_grad():
            outputs = [adapter.forward(model, images, stages, False) for stages in ((), _numbers(announced))]
            try:
                outputs.append(adapter.forward(model, images, (), True))
                embedding = True
            except UserError:  # it may not have an embedding for this model
                embedding = False
        for output in outputs:
            if not isinstance(output, ModelOutput):
                raise TypeError(f"forward returned {type(output).__name__}, not kdcore.ModelOutput")
            if not isinstance(output.logits, torch.Tensor):
                raise TypeError(
                    f"forward returned {type(output.logits).__name__} as logits, not a tensor [B, K]"
                )
            maps: object = output.features
            kinds = list(maps.values()) if isinstance(maps, dict) else [maps]
            if wrong := [kind for kind in kinds if not isinstance(kind, FeatureMap)]:
                raise TypeError(
                    f"forward returned {type(wrong[0]).__name__} in features, not a dict of kdcore.FeatureMap by stage"
                )
        return announced, embedding

    @property
    def announced(self) -> tuple[StageInfo, ...]:
        """The announced stages.

        Raises:
            unittest.SkipTest: the check `serves` fails.
        """
        return self._found()[0]

    @property
    def numbers(self) -> tuple[Stage, ...]:
        """The numbers of the stages; raises as `announced` does."""
        return _numbers(self.announced)

    @property
    def embeds(self) -> bool:
        """Whether it gives an embedding; raises as `announced` does."""
        return self._found()[1]

    def _found(self) -> tuple[tuple[StageInfo, ...], bool]:
        if isinstance(self.plain, Exception):
            skip("it gives no output: see the check 'serves'")
        return self.plain

    def ask(
        self, model: nn.Module, images: torch.Tensor, adapter: FeatureAdapter | None = None
    ) -> ModelOutput:
        """Everything that it gives."""
        return (adapter or self.adapter()).forward(model, images, self.numbers, self.embeds)


def adapter_subjects(name_or_class: str | type, models: Sequence[Model]) -> list[AdapterSubject]:
    """The adapter with each of the models; see `kd_dev.testing.adapter_checks`."""
    if not models or isinstance(models, str):
        raise UserError(Problem("models", 'name at least one model, as in ["resnet18"]', value=models))
    provided, factory = None, name_or_class
    if isinstance(name_or_class, str):
        provided = get_plugins().find(AdapterEntry, name_or_class, "adapter")
    own = name_or_class if isinstance(name_or_class, str) else name_or_class.__name__
    split = [_split(model) for model in models]
    labels = [_label(model) for model, _ in split]
    often = Counter(labels)
    return [
        AdapterSubject(
            f"{own}-{label}" + (f"-{'x'.join(map(str, size))}" if often[label] > 1 and size else ""),
            provided,
            factory,
            model,
            size,
        )
        for (model, size), label in zip(split, labels, strict=True)
    ]


def _split(given: Model) -> tuple[str | Callable[[], nn.Module], Size | None]:
    model, size = given if isinstance(given, tuple) else (given, None)
    if isinstance(size, int):
        size = (size, size)
    if not (isinstance(model, str) or callable(model)):
        raise UserError(
            Problem("models", "must be a model's name or a function that returns a model", value=model)
        )
    return model, size


def _label(model: str | Callable[[], nn.Module]) -> str:
    if isinstance(model, str):
        return model
    inner = model.func if isinstance(model, functools.partial) else model
    return str(getattr(inner, "__name__", type(inner).__name__))


def _numbers(announced: Sequence[StageInfo]) -> tuple[Stage, ...]:
    return tuple(info.stage for info in announced)


def _enliven(model: nn.Module) -> None:
    """Change initial values and settings that would hide errors: layers that start at zero, and dropout."""
    for parameter in model.parameters():
        if parameter.dim() <= 1:
            nn.init.normal_(parameter, 1.0, 0.1)
        elif not parameter.any():  # a classifier of zeros gives the same logits for all maps, and no gradient
            nn.init.normal_(parameter, 0.0, 0.1)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = _DROP
        elif isinstance(getattr(module, "drop_rate", None), float):  # timm's, for a functional dropout
            module.drop_rate = _DROP  # type: ignore[assignment]

"""The distiller under test: found, built as in a run, and used with tiny models."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from pydantic import BaseModel
from torch import nn

from kd_dev.testing.check import skip
from kd_dev.testing.models import SIDE, Pair, PairModels, build_models, setup_of
from kd_dev.testing.options import options_of_class
from kd_dev.testing.rig import Rig, SetupRefused, state_of
from kdcore import Distillation, DistillerEntry, Problem, UserError
from kdcore.inspect import build_distiller, resolve_distiller
from kdcore.plugin import get_plugins

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from kdcore import DistillerOptions, Provided, Setup

SEED: Final = 7
PAIRS: Final = (
    Pair(),
    Pair("vit", "vit"),
    Pair("conv", "vit"),
    Pair("vit", "conv"),
    Pair("distilled", "conv"),
    Pair("distilled", "vit"),
    Pair(teachers=2),
    Pair("vit", "vit", teachers=2),
    Pair(learns=True),
    Pair("vit", "vit", learns=True),
)


class DistillerSubject:
    """A distiller with its options.

    Attributes:
        name: its name in test ids.
        provided: its declaration; None if a class was given.
        options: its options.
    """

    def __init__(
        self,
        name: str,
        provided: Provided[DistillerEntry] | None,
        factory: Any,
        options: DistillerOptions | None,
    ) -> None:
        self.name = name
        self.provided = provided
        self._factory = factory
        self._options = options
        self._frames: dict[Pair, _Frame] = {}

    @classmethod
    def of(
        cls, name_or_class: str | type[nn.Module], options: Mapping[str, Any] | BaseModel | None
    ) -> DistillerSubject:
        """The subject; see `kd_dev.testing.distiller_checks`."""
        if isinstance(name_or_class, type):
            return cls(name_or_class.__name__, None, name_or_class, options_of_class(name_or_class, options))
        if not isinstance(name_or_class, str):
            raise UserError(Problem("", "must be a distiller's name or class", value=name_or_class))
        plugins = get_plugins()
        provided = plugins.find(DistillerEntry, name_or_class, "distiller")
        found = None
        if isinstance(options, BaseModel):
            found = cast("DistillerOptions", options)
        elif options:
            found = resolve_distiller(name_or_class, options, plugins, "options").options
        return cls(name_or_class, provided, None, found)

    @cached_property
    def factory(self) -> Any:
        """The distiller's class."""
        return self._factory if self.provided is None else get_plugins().load(self.provided, self.name)

    @cached_property
    def options(self) -> DistillerOptions:
        """Its options."""
        if self._options is not None:
            return self._options
        return resolve_distiller(self.name, {}, get_plugins(), self.name).options

    # -- building --------------------------------------------------------------------------------------------

    def build(self, setup: Setup, options: DistillerOptions | None = None) -> nn.Module:
        """A new instance, built as in a run; the same weights each time.

        Raises:
            SetupRefused: the distiller refuses this setup.
        """
        setup = replace(setup, generator=torch.Generator().manual_seed(SEED))
        try:
            return build_distiller(
                self.factory, options or self.options, setup, name=self.name, label=self.label, seed=SEED
            )
        except UserError as error:
            raise SetupRefused(str(error)) from error

    def rig(
        self,
        pair: Pair | None = None,
        *,
        weight: float | None = None,
        samples: int = 6,
        prepared: bool = True,
    ) -> Rig:
        """A new instance with tiny models in their first state; do not use an earlier rig afterwards.

        With `prepared` False its method `prepare` is not called, as in a run that continues.

        Raises:
            SetupRefused: the distiller refuses this pair.
            unittest.SkipTest: without a pair: the check `builds` or `terms_are_scalars` fails.
        """
        if pair is None:
            self.require_terms()
            pair = self.home
        frame = self._frames.get(pair)
        if frame is None:
            frame = self._frames[pair] = _Frame(self, pair)
        return frame.rig(self, weight, samples, prepared=prepared)

    def apart(
        self,
        *,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> Rig:
        """The same with separate models, in another number format or memory format."""
        self.require_terms()
        frame = _Frame(self, self.home, dtype)
        frame.distillation.to(memory_format=memory_format)
        return frame.rig(self, None, 6, dtype, memory_format)

    # -- the plain case --------------------------------------------------------------------------------------

    @cached_property
    def first_pair(self) -> tuple[Pair | None, str]:
        """The first pair of usual families for which it can be built, or None; and the error for each pair."""
        said = []
        for pair in PAIRS:
            try:
                self.build(setup_of(pair))
            except SetupRefused as refused:
                said.append(f"{pair}: {refused}")
            except Exception as error:
                said.append(f"{pair}: {type(error).__name__}: {error}")
            else:
                return pair, ""
        reasons = {text.partition(": ")[2] for text in said}
        return None, f"any pair: {reasons.pop()}" if len(reasons) == 1 else "\n    ".join(said)

    @property
    def home(self) -> Pair:
        """The pair for all checks that do not vary the pair.

        Raises:
            unittest.SkipTest: there is none.
        """
        pair, _ = self.first_pair
        return pair or skip("it cannot be built: see the check 'builds'")

    @cached_property
    def plain_terms(self) -> dict[str, Tensor] | BaseException:
        """The loss terms of a plain step, or the exception that it raised."""
        try:
            return {name: term.detach() for name, term in self.rig(self.home).step().items()}
        except Exception as error:
            return error

    def require_terms(self) -> None:
        """End the check if a plain step fails or gives no terms: another check reports that.

        Raises:
            unittest.SkipTest: in this case.
        """
        _ = self.home
        terms = self.plain_terms
        if isinstance(terms, BaseException) or not all(term.isfinite() for term in terms.values()):
            skip("it gives no finite loss terms: see the check 'terms_are_scalars'")
        if not terms:
            skip("it has no loss terms")

    @property
    def has_terms(self) -> bool:
        """Whether a plain step gives terms."""
        terms = self.plain_terms
        return not isinstance(terms, BaseException) and bool(terms)

    @property
    def label(self) -> str:
        """Its name in messages: with its plugin and version, or with its module."""
        if self.provided is not None:
            return f"{self.provided.qualified} {self.provided.plugin.version}"
        return f"{getattr(self.factory, '__module__', 'given')}:{self.factory.__name__}"


class _Frame:
    """Models and the `Distillation` around them, shared by the rigs because probing shapes is slow."""

    def __init__(self, subject: DistillerSubject, pair: Pair, dtype: torch.dtype = torch.float32) -> None:
        self.pair = pair
        self.models: PairModels = build_models(pair, dtype)
        with_first = subject.build(self.models.setup).to(dtype)
        try:
            self.distillation = Distillation(
                *self.models.known(),
                with_first,
                num_classes=pair.classes,
                image_size=SIDE,
                task_weight=1.0 if pair.labelled else 0.0,
                train_labels=self.models.setup.train_labels,
                some_labels=pair.some_labels,
            )
        except UserError as error:
            raise SetupRefused(str(error)) from error
        self._first = [state_of(model) for model in self._all]

    @property
    def _all(self) -> list[nn.Module]:
        average = getattr(self.distillation, "average", None)  # of the student, if the distiller wants one
        own = [] if average is None else [average]
        return [self.models.student, *own, *self.models.teachers.values()]

    def rig(
        self,
        subject: DistillerSubject,
        weight: float | None,
        samples: int,
        dtype: torch.dtype = torch.float32,
        memory_format: torch.memory_format = torch.contiguous_format,
        *,
        prepared: bool = True,
    ) -> Rig:
        for model, state in zip(self._all, self._first, strict=True):
            model.load_state_dict(state)
            model.zero_grad(set_to_none=True)
        options = subject.options if weight is None else subject.options.model_copy(update={"weight": weight})
        distiller = subject.build(self.models.setup, options).to(dtype)
        self.distillation.distillers = nn.ModuleList([distiller])
        self.distillation.train()
        return Rig(self.distillation, distiller, self.pair, samples, dtype, memory_format, prepared)

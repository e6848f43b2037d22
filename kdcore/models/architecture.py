"""From a model's name and options to the module: timm's models and those of plugins."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import timm
import torch
from torch import nn

from kdcore.errors import Problem, RunFailed, UserError
from kdcore.models.explain import explained, parameters_of
from kdcore.models.small_input import SIZE, Family, require_family
from kdcore.spec.model_options import RESERVED_OPTIONS
from kdcore.spec.names import TimmName, resolve_model
from kdcore.spec.resolve import arguments, resolve_options

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kdcore.entries import ModelEntry
    from kdcore.plugins import Plugins, Provided

_NETWORK: Final = ("huggingface_hub", "httpx", "httpcore", "requests", "urllib3", "urllib", "http", "ssl")


@dataclass(frozen=True)
class TimmArchitecture:
    """A model of timm: its name without and with the tag of its weights."""

    name: str
    tagged: str
    config: Any  # timm's PretrainedCfg
    module: str  # where timm defines it

    def family(self, where: str) -> Family:
        """Its small-input variant; raises UserError if there is no such variant."""
        return require_family(self.module, self.name, where)

    def arguments(
        self, options: Mapping[str, Any], small_input: bool, size: tuple[int, int] | None, where: str
    ) -> dict[str, Any]:
        """What its constructor is called with, in addition to the numbers of classes and channels; options win."""
        arguments: dict[str, Any] = dict(self.family(where).arguments) if small_input else {}
        # timm says so about models that are built for one input size
        if size is not None and self.config.fixed_input_size and size != tuple(self.config.input_size[1:]):
            arguments["img_size"] = list(size)
        return {**arguments, **options}

    def create(
        self,
        num_classes: int,
        in_chans: int,
        size: tuple[int, int] | None,
        options: Mapping[str, Any],
        small_input: bool,
        pretrained: bool,
        where: str,
    ) -> nn.Module:
        """The model, small-input variant included; weights are timm's with `pretrained`, otherwise initial values.

        Raises:
            UserError: an option is wrong, or the model cannot be built so.
            RunFailed: the weights cannot be downloaded.
        """
        arguments = self.arguments(options, small_input, size, where)
        changes = self.family(where).change if small_input else None

        def build(weights: bool) -> nn.Module:
            create: Callable[..., nn.Module] = timm.create_model
            tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in arguments.items()}
            return create(
                self.tagged, pretrained=weights, num_classes=num_classes, in_chans=in_chans, **tuples
            )

        with explained(self.tagged, options, where, self._accepted):
            if pretrained:  # a wrong option is reported before anything is downloaded
                with torch.device("meta"):
                    build(False)
            else:
                model = build(False)
        if pretrained:
            model = self._download(lambda: build(True), where)
        if changes is not None:
            changes(model)
        return model

    def _download(self, build: Callable[[], nn.Module], where: str) -> nn.Module:
        try:
            return build()
        except Exception as error:
            lines = str(error).strip().splitlines()
            cause = lines[0] if lines else type(error).__name__
            if isinstance(error, OSError) or type(error).__module__.split(".")[0] in _NETWORK:
                raise RunFailed(
                    f"{where}: the pretrained weights of {self.tagged} could not be downloaded: {cause}\n"
                    f"    Is there a network? Weights that are here already can be '{where}.checkpoint'."
                ) from error
            raise UserError(
                Problem(
                    f"{where}.pretrained",
                    f"the pretrained weights of {self.tagged} do not fit this model: {cause}",
                    hint=f"{where}.options, small_input and the input size change its shape",
                )
            ) from error

    def _accepted(self, refusing: str) -> list[str]:
        cls = getattr(sys.modules[self.module], refusing, None)
        bases = cls.__mro__ if isinstance(cls, type) else ()
        return [name for base in bases[:-1] for name in parameters_of(base) if name not in RESERVED_OPTIONS]


@dataclass(frozen=True)
class PluginArchitecture:
    """A model of a plugin."""

    provided: Provided[ModelEntry]
    target: Callable[..., Any]
    plugins: Plugins

    @property
    def name(self) -> str:
        """'plugin/name'."""
        return self.provided.qualified

    def create(
        self, num_classes: int, in_chans: int, options: Mapping[str, Any], small_input: bool, where: str
    ) -> nn.Module:
        """The model with its initial weights.

        Raises:
            UserError: an option is wrong, or the plugin's code fails.
        """
        if small_input:
            require_family("", self.name, where)
        checked = resolve_options(self.provided, options, self.plugins, f"{where}.options")
        given = options if checked is None else arguments(checked)
        try:
            with explained(self.name, given, where, self._accepted):
                model: Any = self.target(num_classes, in_chans, **given)
        except UserError as error:
            problems = [_in_section(problem, where) for problem in error.problems]
            raise UserError(problems) from (error.__cause__ or error)  # the plugin to blame is seen there
        if not isinstance(model, nn.Module):
            kind = type(model).__name__
            plugin = self.provided.plugin.label
            message = f"{self.name} of plugin {plugin} returned {kind}; it must return an nn.Module"
            raise UserError(Problem(f"{where}.model", message))
        return model

    def _accepted(self, refusing: str) -> list[str]:
        return [name for name in parameters_of(self.target) if name not in RESERVED_OPTIONS]


def _in_section(problem: Problem, where: str) -> Problem:
    """The problem at its place in the spec: a plugin's code knows only the places within its section."""
    if problem.where == where or problem.where.startswith(f"{where}."):
        return problem
    return replace(problem, where=f"{where}.{problem.where or 'model'}")


def find_architecture(name: str, plugins: Plugins, where: str) -> TimmArchitecture | PluginArchitecture:
    """The architecture that a spec names: timm's 'name', 'name.tag' or 'timm/name', or a plugin's '[plugin/]name'.

    Raises:
        UserError: there is no such model or tag, or both timm and a plugin have a model of this name.
    """
    where = f"{where}.model"
    found = resolve_model(name, where, plugins)
    if not isinstance(found, TimmName):
        return PluginArchitecture(found, plugins.load(found, where), plugins)
    config = timm.models.get_pretrained_cfg(found.tagged)
    return TimmArchitecture(found.model.name, found.tagged, config, f"timm.models.{found.model.file}")


def check_options(options: Mapping[str, Any], where: str) -> None:
    """Raises UserError for each option that is not the constructor's to decide."""
    problems = [
        Problem(f"{where}.options.{name}", f"this is not an option: {RESERVED_OPTIONS[name]}")
        for name in options
        if name in RESERVED_OPTIONS
    ]
    if problems:
        raise UserError(problems)


def default_size(architecture: TimmArchitecture, small_input: bool) -> tuple[int, int]:
    """The input size of a model if nothing gives another one."""
    size = tuple(architecture.config.input_size[1:])
    return SIZE if small_input else (size[0], size[1])

"""Distillers from names, options or instances."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

import torch
from torch import nn

from kdcore.distill.seeds import derive
from kdcore.distill.suitable import (
    ReadsLogitsError,
    check_models,
    check_one_student,
    check_task,
    needs_teacher,
    of_distiller,
)
from kdcore.distill.teachers import setup_for
from kdcore.entries import DistillerEntry
from kdcore.errors import KdError, Problem, UserError, listed
from kdcore.plugins.calling import MISTAKE, call_fault
from kdcore.spec.load import ResolvedDistiller
from kdcore.spec.resolve import resolve_distiller, resolve_task_weight

if TYPE_CHECKING:
    from kdcore.options import DistillerOptions, Schedule
    from kdcore.plugins import Plugins
    from kdcore.protocols import Distiller, Setup


@dataclass(frozen=True, kw_only=True)
class BuiltDistillers:
    """The distillers of a run.

    Attributes:
        modules: by name.
        schedules: of those that have one, by name.
        teachers: the teacher that each one chose by name, 'mean', or None.
        task_weight: of the task loss.
    """

    modules: dict[str, nn.Module]
    schedules: dict[str, Schedule]
    teachers: dict[str, str | None]
    task_weight: float


_MOST: Final = 200  # distillers in a message: all of them
DistillerLike = str | Mapping[str, Any] | nn.Module | ResolvedDistiller


def build_distillers(
    distillers: DistillerLike | Sequence[DistillerLike],
    options: Mapping[str, Any],
    setup: Setup,
    plugins: Plugins,
    task_weight: float | None,
    seed: int,
    *,
    some_labels: bool = False,
    partly_labelled: bool = False,
) -> BuiltDistillers:
    """Build the distillers.

    With `some_labels`, those that read the labels have to allow samples without one; with `partly_labelled`, samples of
    which only some labels are known.

    Raises:
        UserError: a name or option is wrong, a distiller cannot work with these models or without what is missing.
    """
    items = _items(distillers, options)
    modules: dict[str, nn.Module] = {}
    schedules: dict[str, Schedule] = {}
    teachers: dict[str, str | None] = {}
    weights: list[float] = []
    for number, item in enumerate(items):
        where = "distiller" if len(items) == 1 else f"distiller[{number}]"
        instance = _instance(item)
        if instance is not None:
            one = _checked(instance, setup, where)
        else:
            assert not isinstance(item, nn.Module)
            resolved = _resolve(item, options, plugins, where)
            one = _named(resolved, setup, plugins, where, seed, number)
        name = _unique(one.name, modules)
        check_task(one.module, name, setup.task, where)
        modules[name], teachers[name] = one.module, one.teacher
        if one.schedule is not None:
            schedules[name] = one.schedule
        weights.append(one.task_weight)
    check_one_student(modules)
    if some_labels:
        check_some_labels(modules, setup, plugins, seed, partly=partly_labelled)
    instances = all(_instance(item) is not None for item in items)  # all of them have the same weight
    weight = resolve_task_weight(
        task_weight, weights[:1] if instances else weights, classifier=setup.student.has_logits
    )
    return BuiltDistillers(modules=modules, schedules=schedules, teachers=teachers, task_weight=weight)


def _items(
    distillers: DistillerLike | Sequence[DistillerLike], options: Mapping[str, Any]
) -> list[DistillerLike]:
    """The distillers as a list.

    Raises:
        UserError: there is none, or `options` are not for a single name.
    """
    items = (
        list(distillers)
        if isinstance(distillers, Sequence) and not isinstance(distillers, str)
        else [distillers]
    )
    if not items:
        raise UserError(Problem("distiller", "the list of distillers is empty; give at least one"))
    if options and (len(items) > 1 or not isinstance(items[0], str)):
        raise UserError(
            Problem(
                "distiller",
                f"options {sorted(options)} are only allowed with the name of a single distiller",
                hint='in a list, write {"name": ..., "option": ...}',
            )
        )
    return items


@dataclass(frozen=True, kw_only=True)
class _Built:
    """One distiller, the teacher that it chose, and the weight that it wants for the task loss."""

    name: str
    module: nn.Module
    teacher: str | None
    task_weight: float
    schedule: Schedule | None = None


def _checked(instance: _Instance, setup: Setup, where: str) -> _Built:
    module, teacher = instance.module, instance.teacher
    name = type(module).__name__.lower()
    check_models(module, name, setup_for(teacher, setup, where), where, teacher)
    return _Built(name=name, module=module, teacher=teacher, task_weight=1.0)


def _named(
    resolved: ResolvedDistiller, setup: Setup, plugins: Plugins, where: str, seed: int, number: int
) -> _Built:
    """Build a distiller of a plugin.

    Raises:
        UserError: it does not work with these models; the message names those that do.
    """
    own = setup_for(resolved.teacher, setup, where)
    try:
        module = _build(resolved, own, plugins, where, seed, number)
    except ReadsLogitsError as error:
        (problem,) = error.problems
        works = listed(_working(own, plugins, seed), _MOST)
        raise UserError(replace(problem, allowed=f"with this {error.role} work: {works}")) from error
    entry = resolved.provided.entry
    return _Built(
        name=entry.name,
        module=module,
        teacher=resolved.teacher,
        task_weight=entry.task_weight,
        schedule=resolved.schedule,
    )


@dataclass(frozen=True)
class _Instance:
    """A distiller that was built already, and the teacher that it reads."""

    module: nn.Module
    teacher: str | None = None


def _instance(item: DistillerLike) -> _Instance | None:
    """A module, alone or as `{"distiller": module, "teacher": name}`."""
    if isinstance(item, nn.Module):
        return _Instance(item)
    if isinstance(item, Mapping) and isinstance(item.get("distiller"), nn.Module):
        return _Instance(item["distiller"], item.get("teacher"))
    return None


def check_some_labels(
    built: Mapping[str, nn.Module], setup: Setup, plugins: Plugins, seed: int, *, partly: bool = False
) -> None:
    """Raises UserError if a distiller needs the label of every sample, or every label of the samples that have one."""
    needs = _needs_whole_labels if partly else _needs_every_label
    needing = [name for name, one in built.items() if needs(one)]
    if needing:
        who = listed(f"'{name}'" for name in needing)
        said = f"distillers {who} need" if len(needing) > 1 else f"distiller {who} needs"
        message = f"{said} the label of every training image, and only some have one"
        if partly:
            message = f"{said} all labels of a training image, and of some images only some are known"
        own = setup_for(None, setup, "distiller")
        works = listed(_working(own, plugins, seed, lambda one: not needs(one)), _MOST)
        raise UserError(Problem("distiller", message, allowed=f"with these images work: {works}"))


def _needs_every_label(distiller: nn.Module) -> bool:
    requires = cast("Distiller", distiller).requires
    return requires.reads_labels and requires.unlabelled is None


def _needs_whole_labels(distiller: nn.Module) -> bool:
    requires = cast("Distiller", distiller).requires
    return requires.reads_labels and requires.unlabelled != "given"


def _build(
    resolved: ResolvedDistiller, setup: Setup, plugins: Plugins, where: str, seed: int, number: int
) -> nn.Module:
    return build_distiller(
        plugins.load(resolved.provided, where),
        resolved.options,
        setup,
        name=resolved.name,
        label=f"{resolved.provided.qualified} {resolved.provided.plugin.version}",
        where=where,
        seed=seed,
        number=number,
        choice=resolved.teacher,
    )


def _working(
    setup: Setup,
    plugins: Plugins,
    seed: int,
    suits: Callable[[nn.Module], bool] = lambda distiller: True,
) -> Iterator[str]:
    """The installed distillers that work with these models, and that suit, each with its default options."""
    for item in plugins.all(DistillerEntry):
        if item.entry.kind == "baseline":
            continue
        with contextlib.suppress(Exception):  # whatever makes it unusable here
            resolved = resolve_distiller(item.qualified, {}, plugins, "")
            if suits(_build(resolved, setup, plugins, "", seed, 0)):
                yield item.entry.name


def build_distiller(
    factory: Any,
    options: DistillerOptions,
    setup: Setup,
    *,
    name: str,
    label: str,
    where: str = "distiller",
    seed: int,
    number: int = 0,
    choice: str | None = None,
) -> nn.Module:
    """Build one distiller from its class.

    Args:
        factory: the class, or a function like it.
        options: checked options.
        setup: what the distiller may know of the run.
        name: its name in messages about what it needs.
        label: its name, plugin and version, for messages about its own code.
        where: the place of problems.
        seed: of the run.
        number: its position among the distillers of the run.
        choice: the name of the teacher that the spec chose for it.

    Raises:
        UserError: it cannot work with these models or without what is missing, or it is not a distiller.
    """
    if fault := call_fault(factory, "options", "setup"):
        raise UserError(Problem(where, f"{label} {fault}", hint=MISTAKE))
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # a head for classes, and there are none: what reads them is refused below
        warnings.filterwarnings("ignore", "Initializing zero-element tensors", UserWarning)
        torch.default_generator.manual_seed(derive(seed, "heads", number))
        try:
            module = factory(options, setup)
        except UserError as error:
            raise UserError(of_distiller(name, problem) for problem in error.problems) from error
        except KdError:
            raise
        except ValueError as error:  # a distiller raises it if it cannot work with these models
            raise UserError(Problem(where, f"{label}: {error}")) from error
        except AttributeError as error:
            if setup.teacher is None and error.obj is None:  # it used the teacher, and there is none
                raise UserError(needs_teacher(name, setup, where)) from error
            raise
    if not isinstance(module, nn.Module):
        raise UserError(Problem(where, f"{label} made {type(module).__name__}, not an nn.Module"))
    check_models(module, name, setup, where, choice)
    return module


def _resolve(
    item: str | Mapping[str, Any] | ResolvedDistiller,
    options: Mapping[str, Any],
    plugins: Plugins,
    where: str,
) -> ResolvedDistiller:
    if isinstance(item, ResolvedDistiller):
        return item
    if isinstance(item, str):
        return resolve_distiller(item, options, plugins, where)
    fields = dict(item)
    name = fields.pop("name", None)
    if not isinstance(name, str):
        raise UserError(Problem(where, "a distiller needs a 'name'", value=dict(item)))
    return resolve_distiller(name, fields, plugins, where)


def _unique(name: str, taken: Mapping[str, nn.Module]) -> str:
    """The name, with a number added if another distiller of the run has it."""
    unique, number = name, 2
    while unique in taken:
        unique, number = f"{name}_{number}", number + 1
    return unique

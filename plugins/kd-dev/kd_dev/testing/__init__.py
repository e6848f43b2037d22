"""The conformance kit: rules for everything that plugins declare, as checks for their tests.

`parametrize_with_checks` makes a pytest test of each check; `check_distiller` and the like run all of
them at once. Importing this package needs neither pytest nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kd_dev.testing.check import Check, ConformanceError, run
from kd_dev.testing.declared_checks import (
    check_command,
    check_exporter,
    check_launcher,
    check_metric,
    check_recipe,
    check_run_hooks,
    check_section,
    check_transform,
    command_checks,
    exporter_checks,
    launcher_checks,
    metric_checks,
    recipe_checks,
    run_hook_checks,
    section_checks,
    transform_checks,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pytest
    from pydantic import BaseModel
    from torch import nn

    Options = Mapping[str, Any] | BaseModel | None
    Size = int | tuple[int, int]
    Model = str | Callable[[], nn.Module] | tuple[str | Callable[[], nn.Module], Size]

__all__ = [
    "Check",
    "ConformanceError",
    "adapter_checks",
    "check_adapter",
    "check_command",
    "check_dataset",
    "check_distiller",
    "check_exporter",
    "check_launcher",
    "check_metric",
    "check_plugin",
    "check_recipe",
    "check_run_hooks",
    "check_section",
    "check_transform",
    "command_checks",
    "dataset_checks",
    "distiller_checks",
    "exporter_checks",
    "launcher_checks",
    "metric_checks",
    "parametrize_with_checks",
    "plugin_checks",
    "recipe_checks",
    "run_hook_checks",
    "section_checks",
    "transform_checks",
]


def parametrize_with_checks(
    checks: Iterable[Check], *, expected_failures: Mapping[str, str] | None = None
) -> pytest.MarkDecorator:
    """A decorator that makes one test of each check; the test function has the argument `check` and calls it.

    Test ids have the form `subject-check`. A check that does not apply is skipped, with the reason.

    Args:
        checks: of one subject or several; lists can be joined: `[*distiller_checks("a"), ...]`.
        expected_failures: the reason why a check is expected to fail, by check id (or `subject-check` for one
            subject). Such a test fails when the check starts to pass.

    Raises:
        UserError: `expected_failures` names a check that does not exist.
    """
    from kd_dev.testing.marks import parametrize

    return parametrize(tuple(checks), expected_failures or {})


def distiller_checks(name_or_class: str | type[nn.Module], *, options: Options = None) -> list[Check]:
    """The checks of a distiller.

    Args:
        name_or_class: a registered name (`kd`, `kd-classic/kd`), or a class.
        options: as in a spec, or an instance of the options model; None: the defaults. For a class, the options model
            is the annotation of its constructor's first parameter, unless an instance is given.

    Raises:
        UserError: the distiller does not exist, or the options are wrong.
    """
    from kd_dev.testing.distillers import RULES
    from kd_dev.testing.subject import DistillerSubject

    subject = DistillerSubject.of(name_or_class, options)
    return [Check(subject.name, rule, subject) for rule in RULES]


def adapter_checks(name_or_class: str | type, *, models: Sequence[Model]) -> list[Check]:
    """The checks of a feature adapter, for each model.

    Args:
        name_or_class: a registered name, or a class.
        models: small models that it supports: names (timm's or a plugin's) or callables that return an `nn.Module`,
            alone or with an image size, as in `["resnet18", ("vit_tiny_patch16_224", 224), (make_model, (32, 64))]`.

    Raises:
        UserError: the adapter does not exist, or no model is given.
    """
    from kd_dev.testing.adapters import RULES
    from kd_dev.testing.adapters.subject import adapter_subjects

    subjects = adapter_subjects(name_or_class, models)
    return [Check(subject.name, rule, subject) for subject in subjects for rule in RULES]


def dataset_checks(
    name: str, *, root: str | None = None, splits: Sequence[str] = ("train", "test")
) -> list[Check]:
    """The checks of a dataset.

    Args:
        name: a registered name.
        root: the folder of its files, as `data.root` in a spec.
        splits: the names of its splits.

    Raises:
        UserError: the dataset does not exist.
    """
    from kd_dev.testing.datasets import RULES, DatasetSubject

    subject = DatasetSubject.of(name, root, splits)
    return [Check(subject.name, rule, subject) for rule in RULES]


def plugin_checks(plugin_name: str) -> list[Check]:
    """The checks of a plugin's declarations; the things that it declares have their own checks.

    Args:
        plugin_name: the name of its entry point or of its distribution.

    Raises:
        UserError: the plugin is not installed.
    """
    from kd_dev.testing.plugin import RULES, PluginSubject

    subject = PluginSubject.of(plugin_name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def check_distiller(
    name_or_class: str | type[nn.Module],
    *,
    options: Options = None,
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Run all `distiller_checks`; checks that do not apply are left out.

    Raises:
        ConformanceError: lists every check that failed, and every one that was expected to fail but passed.
        UserError: as `distiller_checks`, or `expected_failures` names a check that does not exist.
    """
    run(distiller_checks(name_or_class, options=options), expected_failures)


def check_adapter(
    name_or_class: str | type,
    *,
    models: Sequence[Model],
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Run all `adapter_checks`; raises as `check_distiller` does."""
    run(adapter_checks(name_or_class, models=models), expected_failures)


def check_dataset(
    name: str,
    *,
    root: str | None = None,
    splits: Sequence[str] = ("train", "test"),
    expected_failures: Mapping[str, str] | None = None,
) -> None:
    """Run all `dataset_checks`; raises as `check_distiller` does."""
    run(dataset_checks(name, root=root, splits=splits), expected_failures)


def check_plugin(plugin_name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `plugin_checks`; raises as `check_distiller` does."""
    run(plugin_checks(plugin_name), expected_failures)

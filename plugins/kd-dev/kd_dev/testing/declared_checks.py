"""The checks of commands, recipes, exporters, metrics, report sections, launchers, transforms, and hooks of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kd_dev.testing.check import Check, run

if TYPE_CHECKING:
    from collections.abc import Mapping


def command_checks(name: str) -> list[Check]:
    """The checks of a command.

    Args:
        name: a registered name.

    Raises:
        UserError: the command does not exist.
    """
    from kd_dev.testing.commands import RULES, CommandSubject
    from kdcore import CommandEntry

    subject = CommandSubject.of(CommandEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def recipe_checks(name: str) -> list[Check]:
    """The checks of a recipe; arguments and errors as for `command_checks`."""
    from kd_dev.testing.recipes import RULES, RecipeSubject
    from kdcore import RecipeEntry

    subject = RecipeSubject.of(RecipeEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def exporter_checks(name: str) -> list[Check]:
    """The checks of an exporter, with a small student; arguments and errors as for `command_checks`."""
    from kd_dev.testing.exporters import RULES, ExporterSubject
    from kdcore import ExporterEntry

    subject = ExporterSubject.of(ExporterEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def metric_checks(name: str) -> list[Check]:
    """The checks of a metric; arguments and errors as for `command_checks`."""
    from kd_dev.testing.metrics import RULES, MetricSubject
    from kdcore import MetricEntry

    subject = MetricSubject.of(MetricEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def section_checks(name: str) -> list[Check]:
    """The checks of a report section, with a tiny run; arguments and errors as for `command_checks`."""
    from kd_dev.testing.sections import RULES, SectionSubject
    from kdcore import SectionEntry

    subject = SectionSubject.of(SectionEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def launcher_checks(name: str) -> list[Check]:
    """The checks of a launcher, which start processes with it; arguments and errors as for `command_checks`."""
    from kd_dev.testing.launchers import RULES, LauncherSubject
    from kdcore import LauncherEntry

    subject = LauncherSubject.of(LauncherEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def transform_checks(name: str) -> list[Check]:
    """The checks of a transform, with a small student; arguments and errors as for `command_checks`."""
    from kd_dev.testing.transforms import RULES, TransformSubject
    from kdcore import TransformEntry

    subject = TransformSubject.of(TransformEntry, name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def run_hook_checks(plugin_name: str) -> list[Check]:
    """The checks of what a plugin does during runs: they call its hooks with a tiny run.

    Args:
        plugin_name: the name of its entry point or of its distribution.

    Raises:
        UserError: the plugin is not installed.
    """
    from kd_dev.testing.run_hooks import RULES, HookSubject

    subject = HookSubject.of(plugin_name)
    return [Check(subject.name, rule, subject) for rule in RULES]


def check_command(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `command_checks`; raises as `check_distiller` does."""
    run(command_checks(name), expected_failures)


def check_recipe(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `recipe_checks`; raises as `check_distiller` does."""
    run(recipe_checks(name), expected_failures)


def check_exporter(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `exporter_checks`; raises as `check_distiller` does."""
    run(exporter_checks(name), expected_failures)


def check_metric(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `metric_checks`; raises as `check_distiller` does."""
    run(metric_checks(name), expected_failures)


def check_section(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `section_checks`; raises as `check_distiller` does."""
    run(section_checks(name), expected_failures)


def check_launcher(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `launcher_checks`; raises as `check_distiller` does."""
    run(launcher_checks(name), expected_failures)


def check_transform(name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `transform_checks`; raises as `check_distiller` does."""
    run(transform_checks(name), expected_failures)


def check_run_hooks(plugin_name: str, *, expected_failures: Mapping[str, str] | None = None) -> None:
    """Run all `run_hook_checks`; raises as `check_distiller` does."""
    run(run_hook_checks(plugin_name), expected_failures)

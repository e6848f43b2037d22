"""The plugin, its command, and what the core declares keep the rules of the conformance kit."""

from __future__ import annotations

from kd_dev.testing import Check, command_checks, parametrize_with_checks, plugin_checks, recipe_checks

from kdcore import CommandEntry, RecipeEntry
from kdcore.plugin import get_plugins

CORE = [item for kind in (CommandEntry, RecipeEntry) for item in get_plugins().all(kind)]


@parametrize_with_checks([*plugin_checks("kd-dev"), *command_checks("new-plugin")])
def test_the_plugin_and_its_command(check: Check):
    check()


@parametrize_with_checks(
    [
        check
        for item in CORE
        if item.plugin.name == "kdcore"
        for check in (command_checks if isinstance(item.entry, CommandEntry) else recipe_checks)(
            item.qualified
        )
    ]
)
def test_commands_and_recipes_of_the_core(check: Check):
    check()

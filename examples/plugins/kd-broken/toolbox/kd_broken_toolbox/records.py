"""A plugin for each role, whose hook returns something else than the records of its role."""

from __future__ import annotations

from typing import Any

from kdcore import MetricEntry, hookimpl

PLUGIN_API = 1


class Distillers:
    """A name instead of a record."""

    @hookimpl
    def kd_distillers(self) -> list[Any]:
        """Text."""
        return ["kd"]


class Adapters:
    """A single record instead of a list."""

    @hookimpl
    def kd_feature_adapters(self) -> Any:
        """A number."""
        return 4


class Datasets:
    """Nothing at all."""

    @hookimpl
    def kd_datasets(self) -> Any:
        """None."""
        return None


class Models:
    """A dictionary instead of a record."""

    @hookimpl
    def kd_models(self) -> list[Any]:
        """The fields of a record."""
        return [{"name": "net", "summary": "A network.", "target": "net:build"}]


class Transforms:
    """A class instead of a record."""

    @hookimpl
    def kd_transforms(self) -> list[Any]:
        """The class of an exception."""
        return [KeyError]


class Commands:
    """The function itself instead of a record that names it."""

    @hookimpl
    def kd_commands(self) -> list[Any]:
        """A function."""
        return [print]


class Recipes:
    """The record of another role."""

    @hookimpl
    def kd_recipes(self) -> list[Any]:
        """A metric."""
        return [MetricEntry("recall", "The mean recall.", "kd_broken_toolbox.failing:metric")]


class Exporters:
    """Two records of one name."""

    @hookimpl
    def kd_exporters(self) -> list[Any]:
        """The same twice, of the wrong type."""
        return ["npz", "npz"]


class Metrics:
    """A record that cannot be made: its target has no module."""

    @hookimpl
    def kd_metrics(self) -> list[Any]:
        """Raises ValueError."""
        return [MetricEntry("recall", "The mean recall.", "recall")]


class Sections:
    """HTML instead of a record."""

    @hookimpl
    def kd_report_sections(self) -> list[Any]:
        """Text."""
        return ["<p>quite good</p>"]


class Launchers:
    """An iterator that fails half-way."""

    @hookimpl
    def kd_launchers(self) -> Any:
        """Raises OSError when it is read."""
        yield from ()
        raise OSError("the list of clusters cannot be read")


distillers = Distillers()
adapters = Adapters()
datasets = Datasets()
models = Models()
transforms = Transforms()
commands = Commands()
recipes = Recipes()
exporters = Exporters()
metrics = Metrics()
sections = Sections()
launchers = Launchers()

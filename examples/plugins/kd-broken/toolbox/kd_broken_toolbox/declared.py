"""Three plugins that load. Each declares one thing of every role, which breaks when it is used.

`lost`: the code cannot be imported, or the file is missing. `wrong`: the code does or returns something else
than kd asks for. `failing`: the code raises an exception.
"""

from __future__ import annotations

from kdcore import (
    AdapterEntry,
    CommandEntry,
    DatasetEntry,
    DistillerEntry,
    ExporterEntry,
    LauncherEntry,
    MetricEntry,
    ModelEntry,
    RecipeEntry,
    SectionEntry,
    TransformEntry,
    hookimpl,
)

PLUGIN_API = 1


class Plugin:
    """A plugin whose things are broken in one way; their names begin with it.

    Args:
        way: also the module of the code, `kd_broken_toolbox.WAY`, and the file of the recipe.
    """

    def __init__(self, way: str) -> None:
        self.way = way

    def _target(self, name: str) -> str:
        return f"kd_broken_toolbox.{self.way}:{name}"

    @hookimpl
    def kd_distillers(self) -> list[DistillerEntry]:
        """Declare a distiller."""
        return [
            DistillerEntry(
                name=f"{self.way}-distiller",
                kind="logit",
                summary="A broken distiller.",
                target=self._target("Method"),
                options="kdcore:DistillerOptions",
            )
        ]

    @hookimpl
    def kd_feature_adapters(self) -> list[AdapterEntry]:
        """Declare an adapter."""
        return [AdapterEntry(f"{self.way}-adapter", "A broken adapter.", self._target("Adapter"))]

    @hookimpl
    def kd_datasets(self) -> list[DatasetEntry]:
        """Declare a dataset."""
        return [
            DatasetEntry(f"{self.way}-dataset", "A broken dataset.", self._target("dataset"), num_classes=2)
        ]

    @hookimpl
    def kd_models(self) -> list[ModelEntry]:
        """Declare a model."""
        return [ModelEntry(f"{self.way}-model", "A broken model.", self._target("model"))]

    @hookimpl
    def kd_transforms(self) -> list[TransformEntry]:
        """Declare a transform."""
        return [TransformEntry(f"{self.way}-transform", "A broken transform.", self._target("Transform"))]

    @hookimpl
    def kd_commands(self) -> list[CommandEntry]:
        """Declare a command."""
        return [CommandEntry(f"{self.way}-command", "A broken command.", self._target("command"))]

    @hookimpl
    def kd_recipes(self) -> list[RecipeEntry]:
        """Declare a recipe."""
        path = f"kd_broken_toolbox:recipes/{self.way}.toml"
        return [RecipeEntry(f"{self.way}-recipe", "A broken recipe.", path)]

    @hookimpl
    def kd_exporters(self) -> list[ExporterEntry]:
        """Declare an exporter."""
        return [ExporterEntry(f"{self.way}-exporter", "A broken exporter.", self._target("export"))]

    @hookimpl
    def kd_metrics(self) -> list[MetricEntry]:
        """Declare a metric."""
        return [MetricEntry(f"{self.way}-metric", "A broken metric.", self._target("metric"))]

    @hookimpl
    def kd_report_sections(self) -> list[SectionEntry]:
        """Declare a section."""
        return [SectionEntry(f"{self.way}-section", "A broken section.", self._target("section"))]

    @hookimpl
    def kd_launchers(self) -> list[LauncherEntry]:
        """Declare a launcher."""
        return [LauncherEntry(f"{self.way}-launcher", "A broken launcher.", self._target("Launcher"))]

    @hookimpl
    def kd_run_failed(self) -> None:
        """Raises RuntimeError."""
        raise RuntimeError("no run may fail")


lost = Plugin("lost")
wrong = Plugin("wrong")
failing = Plugin("failing")

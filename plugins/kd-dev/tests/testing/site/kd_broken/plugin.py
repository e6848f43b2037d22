"""What the plugin declares."""

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
SUMMARY = "For the tests of the checks."


def _distiller(
    name: str,
    target: str,
    options: str,
    settings: str | None = None,
    needs: tuple[str, ...] = ("teacher", "logits"),
    recipes: tuple[str, ...] = (),
) -> DistillerEntry:
    return DistillerEntry(
        name=name,
        kind="logit",
        summary=SUMMARY,
        target=f"kd_broken.distillers:{target}",
        options=f"kd_broken.{options}",
        settings=settings,
        needs=needs,
        recipes=recipes,
    )


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    return [
        _distiller("good", "Good", "options:GoodOptions", "kd_broken:settings/good.toml"),
        _distiller("misquoted", "Good", "options:GoodOptions", "kd_broken:settings/misquoted.toml"),
        _distiller("misneeded", "Good", "options:GoodOptions", "kd_broken:settings/good.toml", ("labels",)),
        *(
            _distiller(name, "Good", "options:GoodOptions", f"kd_broken:settings/{name}.toml")
            for name in ("unknown-recipe", "pair-of-unknown-recipe", "empty")
        ),
        _distiller("plain-recipe", "Good", "options:GoodOptions", recipes=("cifar-240",)),
        _distiller("misdeclared", "Good", "options:OtherOptions"),
        _distiller("heavy", "TakesHeavy", "numpy_options:Heavy"),
        _distiller("unimportable", "Absent", "options:GoodOptions"),
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    target, net = "kd_broken.adapters:Good", "kd_broken.adapters:ToyNet"
    return [
        AdapterEntry(name="good-net", summary=SUMMARY, target=target, models=[net]),
        AdapterEntry(name="absent-net", summary=SUMMARY, target=target, models=["kd_broken.adapters:Absent"]),
        AdapterEntry(name="other-net", summary=SUMMARY, target=target, models=["torch.nn:Linear"]),
    ]


@hookimpl
def kd_models() -> list[ModelEntry]:
    return [ModelEntry(name="toy-net", summary=SUMMARY, target="kd_broken.adapters:ToyNet")]


@hookimpl
def kd_datasets() -> list[DatasetEntry]:
    classes = {"TooManyClasses": 2, "Unlabelled": None}
    names = (
        "Good",
        "Unlabelled",
        "NoSplitArgument",
        "SameSplits",
        "Arrays",
        "OtherTargets",
        "TooManyClasses",
        "Shuffled",
        "HoldsLambda",
        "KeyErrors",
    )
    return [
        DatasetEntry(
            name=f"toy-{name}",
            summary=SUMMARY,
            target=f"kd_broken.datasets:{name}",
            num_classes=classes.get(name, 3),
        )
        for name in names
    ]


@hookimpl
def kd_commands() -> list[CommandEntry]:
    targets = {
        "good": "commands:good",
        "group": "commands:group",
        "refused": "commands:refused",
        "helpless": "commands:helpless",
        "undocumented": "commands:undocumented",
        "heavy": "heavy_command:heavy",
    }
    return [CommandEntry(f"toy-{name}", SUMMARY, f"kd_broken.{target}") for name, target in targets.items()]


@hookimpl
def kd_metrics() -> list[MetricEntry]:
    names = [
        "good",
        "one_argument",
        "infinite",
        "text",
        "deviation",
        "first",
        "in_place",
        "counts",
        "vector",
        "absent",
    ]
    tasks = ("classes", "labels")
    return [MetricEntry(f"toy-{name}", SUMMARY, f"kd_broken.metrics:{name}", tasks) for name in names]


@hookimpl
def kd_exporters() -> list[ExporterEntry]:
    names = (
        "good with_load one_argument refuses absent returns_text elsewhere in_the_run changes_student changes_about "
        "loads_zeros"
    )
    found = [
        ExporterEntry(f"toy-{name}", SUMMARY, f"kd_broken.exporters:{name}", ("torch>=2",))
        for name in names.split()
    ]
    target = "kd_broken.exporters:good"
    return [
        *found,
        ExporterEntry("toy-misspelt", SUMMARY, target, ("on nx",)),
        ExporterEntry("toy-missing", SUMMARY, target, ("no-such-package>=3",)),
        ExporterEntry("toy-elsewhere-only", SUMMARY, target, ("no-such-package>=3; sys_platform == 'none'",)),
        ExporterEntry("toy-undeclared-forms", SUMMARY, target, int8=True, fp16=True),
        ExporterEntry("toy-in_forms", SUMMARY, "kd_broken.exporters:in_forms", int8=True, fp16=True),
        ExporterEntry("toy-raises_in_int8", SUMMARY, "kd_broken.exporters:raises_in_int8", int8=True),
        ExporterEntry(
            "toy-other_logits_in_fp16", SUMMARY, "kd_broken.exporters:other_logits_in_fp16", fp16=True
        ),
    ]


@hookimpl
def kd_report_sections() -> list[SectionEntry]:
    names = ["good", "silent", "no_argument", "raises", "returns_text", "script", "writes", "counts"]
    return [SectionEntry(f"toy-{name}", SUMMARY, f"kd_broken.sections:{name}") for name in names]


@hookimpl
def kd_transforms() -> list[TransformEntry]:
    names = [
        "Good",
        "NoOptions",
        "NoRebuild",
        "OtherClasses",
        "Forgets",
        "ForgetsLayer",
        "ForgetsDropout",
        "OtherSlope",
        "Unused",
        "Frozen",
        "ReadsValues",
        "Counts",
        "ReturnsModel",
        "NotJson",
        "ChecksNothing",
    ]
    return [TransformEntry(f"toy-{name}", SUMMARY, f"kd_broken.transforms:{name}") for name in names]


@hookimpl
def kd_launchers() -> list[LauncherEntry]:
    names = [
        "Good",
        "NoSetup",
        "NoAttach",
        "NoLog",
        "Repeats",
        "OnlySuccess",
        "OneJob",
        "NeverStops",
        "EndsAtOnce",
        "Forgets",
        "FindsAgain",
        "Vague",
        "Real",
    ]
    return [LauncherEntry(f"toy-{name}", SUMMARY, f"kd_broken.launchers:{name}") for name in names]


@hookimpl
def kd_recipes() -> list[RecipeEntry]:
    names = ["good", "plain", "no-task", "absent", "misspelt", "wrong-value", "wrong-options"]
    return [RecipeEntry(f"toy-{name}", SUMMARY, f"kd_broken:recipes/{name}.toml") for name in names]

"""What the plugin declares."""

from __future__ import annotations

from kdcore import AdapterEntry, DatasetEntry, DistillerEntry, ModelEntry, hookimpl

PLUGIN_API = 1
SUMMARY = "For the tests of the checks."


def _distiller(name: str, target: str, options: str) -> DistillerEntry:
    return DistillerEntry(
        name=name,
        kind="logit",
        summary=SUMMARY,
        target=f"kd_broken.distillers:{target}",
        options=f"kd_broken.{options}",
    )


@hookimpl
def kd_distillers() -> list[DistillerEntry]:
    return [
        _distiller("good", "Good", "options:GoodOptions"),
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

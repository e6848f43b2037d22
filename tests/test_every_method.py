"""Every installed distiller in a real run of two epochs, alone and beside FitNet, on tiny models and few digits."""

from __future__ import annotations

from typing import Any

import pytest

from kdcore import DistillerEntry, run, validate
from kdcore.plugins import get_plugins
from tests.no_float64 import forbid_float64

pytest.importorskip("sklearn", reason="the digits need scikit-learn")

ITEMS = get_plugins().all(DistillerEntry)
SIDE = 16
SIDES = {"cwd": 32, "ft": 64}  # they compare places, and refuse a map that has one
CONV = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16], "stem_width": 8}}
WIDER = {"model": "resnet10t", "options": {"channels": [8, 12, 16, 24], "stem_width": 8}}
TOKENS = {"patch_size": 4, "embed_dim": 24, "depth": 4, "num_heads": 3}
# the published memories and weights are for large sets and long runs
OPTIONS: dict[str, dict[str, Any]] = {"crd": {"negatives": 16}}


def tokens(model: str, **options: Any) -> dict[str, Any]:
    return {"model": model, "options": {**TOKENS, **options}}


def spec_of(entry: DistillerEntry, beside: bool = False) -> dict[str, Any]:
    """A spec with the distiller's defaults, with models of the kind that it needs."""
    needs = set(entry.needs or ())
    student, teacher = CONV, WIDER
    if needs & {"tokens", "attention"}:
        student, teacher = tokens("vit_tiny_patch16_224"), tokens("vit_tiny_patch16_224", embed_dim=36)
    if "distilled-student" in needs:
        student = tokens("deit_tiny_distilled_patch16_224")
    spec: dict[str, Any] = {
        "name": entry.name,
        "data": {
            "dataset": "digits",
            "image_size": SIDES.get(entry.name, SIDE),
            "train_samples": 32,
            "eval_samples": 16,
            "workers": 0,
        },
        "student": student,
        "distiller": [{"name": entry.name, **OPTIONS.get(entry.name, {})}],
        "train": {"epochs": 2, "batch_size": 16},
        "optimizer": {"lr": 0.01},
        "task": {"weight": 1.0},
    }
    if "several-teachers" in needs:
        spec["teacher"] = [{"name": "wide", **teacher}, {"name": "narrow", **student}]
    elif "learning-teacher" in needs:
        spec["teacher"] = {**teacher, "learns": True}
    elif "teacher" in needs or beside:
        spec["teacher"] = teacher
    if beside:
        spec["distiller"].append({"name": "fitnet", "weight": 1.0})
        if "several-teachers" in needs:
            spec["distiller"][1]["teacher"] = "wide"
    return spec


@pytest.mark.parametrize(
    "beside",
    [pytest.param(False, id="alone", marks=pytest.mark.accelerator), pytest.param(True, id="beside-fitnet")],
)
@pytest.mark.parametrize("item", ITEMS, ids=lambda item: item.entry.name)
@pytest.mark.filterwarnings("ignore")  # what a small set or a teacher without weights is warned of
def test_it_trains_two_epochs(item, beside, tmp_path, monkeypatch):
    monkeypatch.setenv("KD_NO_REPORT", "1")
    if not beside:
        forbid_float64(monkeypatch)
    result = run(spec_of(item.entry, beside), output=tmp_path, quiet=True)
    assert [record["epoch"] for record in result.metrics] == [1, 2]
    terms = result.metrics[-1]["terms"]
    prefix = f"{item.entry.name}." if beside and item.entry.name != "fitnet" else ""
    assert item.entry.kind == "baseline" or any(name.startswith(prefix) for name in terms)


def test_heads_are_counted_for_each_distiller():
    ofa = next(item.entry for item in ITEMS if item.entry.name == "ofa")
    spec = spec_of(ofa, beside=True)
    spec["distiller"][0]["width"] = 4000
    found = validate(spec)
    assert set(found.heads) == {"ofa", "fitnet"}
    assert found.head_parameters == sum(found.heads.values())
    assert f"more in the distillers' heads (ofa {found.heads['ofa']:,}, fitnet" in "\n".join(found.lines())
    (warning,) = [text for text in found.warnings if "more than the student" in text]
    assert warning.startswith(f"distiller: the heads of 'ofa' have {found.heads['ofa']:,} parameters")
    alone = validate({**spec_of(ofa), "distiller": "kd"})
    assert (alone.heads, alone.head_parameters) == ({}, 0)
    assert "heads" not in "\n".join([*alone.lines(), *alone.warnings])

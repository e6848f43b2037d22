"""The commands as functions, specs as dicts, and errors in Python that read as on the command line."""

from __future__ import annotations

import pytest

import kdcore
from kdcore import RunSpec, UserError
from kdcore.cli.run import describe
from kdcore.plugins import get_plugins
from kdcore.run.result import RunResult
from kdcore.run.settle import settled

SPEC = {"student": {"model": "resnet10t"}, "distiller": "vanilla", "data": {"image_size": 16, "workers": 0}}


def test_lists_are_typed():
    assert "vanilla" in [item.entry.name for item in kdcore.list_distillers()]
    assert "timm" in [item.entry.name for item in kdcore.list_adapters()]
    assert "digits" in [item.entry.name for item in kdcore.list_datasets()]
    assert "resnet18" in [model.name for model in kdcore.list_models("resnet")]
    assert "cifar-240" in [recipe.name for recipe in kdcore.list_recipes()]


def test_plugins_and_schema():
    plugins = {info.name: info for info in kdcore.list_plugins()}
    assert plugins["kdcore"].status == "loaded"
    assert "student" in kdcore.schema()["properties"]


def test_caches(tmp_path):
    assert kdcore.list_caches([tmp_path]) == ()
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    info = kdcore.show_cache(tmp_path / "damaged")
    assert isinstance(info, kdcore.CacheInfo)
    checked = kdcore.check_cache(str(info.path))
    assert (checked.ok, checked.damaged, checked.cache.problem) == (False, (), info.problem)
    assert kdcore.remove_cache(info.path) == info
    assert not info.path.exists()
    for function in (kdcore.show_cache, kdcore.check_cache, kdcore.remove_cache):
        with pytest.raises(UserError, match="not a teacher cache"):
            function(tmp_path)


def test_validate():
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")
    report = kdcore.validate(SPEC)
    assert (report.student, report.num_classes) == ("resnet10t", 10)
    with pytest.raises(UserError, match=r"train.epochs \(--set train.epochs=0\)"):
        kdcore.validate(SPEC, overrides=["train.epochs=0"])


def test_a_dict_is_loaded_like_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loaded = settled(SPEC | {"recipe": "cifar-240"}, ["train.epochs=3"], None, get_plugins())
    assert (loaded.spec.name, loaded.spec.train.epochs, loaded.spec.train.batch_size) == ("run", 3, 64)
    assert loaded.spec.output == str(tmp_path / "runs")
    with pytest.raises(UserError) as raised:
        settled({"student": {"model": "resnet81"}, "distiller": "vanila"}, [], None, get_plugins())
    assert [problem.where for problem in raised.value.problems] == ["student.model", "distiller"]


def test_mistakes_in_a_spec_made_in_python_are_told_as_in_a_file():
    with pytest.raises(UserError) as raised:
        RunSpec(student={"model": "resnet18"}, distiller="kd", train={"epoch": 3}, seed=-1)
    assert {problem.where for problem in raised.value.problems} == {"train.epoch", "seed"}
    assert "did you mean 'epochs'?" in str(raised.value)


def test_a_result_shows_itself(tmp_path):
    about = {"model": "a<b", "parameters": 1234, "top1": 97.5, "top5": None}
    result = RunResult(tmp_path, {"student": about, "teacher": None}, [])
    assert repr(result) == f"RunResult({str(tmp_path)!r}, top-1 97.50 %)"
    text = result._repr_html_()
    assert "a&lt;b" in text
    assert "1,234" in text
    assert "97.50 %" in text
    assert "teacher" not in text
    assert "top-5" not in text
    wide = RunResult(tmp_path, {"student": about, "teacher": {**about, "top5": 99.0}}, [])._repr_html_()
    assert "top-5" in wide
    assert "99.00 %" in wide
    few = {"student": {**about, "top5": 100.0}, "data": {"num_classes": 5}}
    assert "top-5" not in RunResult(tmp_path, few, [])._repr_html_()
    assert "top-5" not in "".join(describe(few))
    assert "top-5 100.00 %" in "".join(describe({**few, "data": {"num_classes": 6}}))

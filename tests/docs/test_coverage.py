"""Which models of timm work: docs/coverage.md is what docs/coverage.json says, and a few models are tried anew."""

from __future__ import annotations

import copy
import json

import pytest
import timm

CLASSIFIERS = ("test_resnet", "test_efficientnet", "test_vit", "test_convnext2")  # timm's smallest
# a model of each trap: maps in NHWC, two heads and two prefix tokens, three maps in all, several final maps
TRAPS = (
    "swin_tiny_patch4_window7_224",
    "deit_tiny_distilled_patch16_224",
    "levit_128s",
    "crossvit_tiny_240",
)
# small ones that change outputs of their modules in place
IN_PLACE = ("test_nfnet", "test_byobnet", "test_resnet", "efficientvit_m0")


@pytest.fixture(scope="module")
def coverage(docs_script):
    """docs/timm_coverage, as the script imports it."""
    return docs_script("timm_coverage", "main", "numbers", "page", "pair", "paths", "shapes")


@pytest.fixture(scope="module")
def data(root):
    return json.loads((root / "docs" / "coverage.json").read_text("utf-8"))


def test_the_page_is_what_the_data_says(root, coverage, data):
    assert (root / "docs" / "coverage.md").read_text("utf-8") == coverage.page.page(data)


def test_every_model_was_tried(data):
    if data["versions"]["timm"] != timm.__version__:
        pytest.skip(f"made with timm {data['versions']['timm']}, here is {timm.__version__}")
    assert list(data["models"]) == sorted(timm.list_models())


def test_every_classifier_works_with_every_method(data):
    works = [record for record in data["models"].values() if "excluded" not in record]
    assert len(works) > 1300
    assert [record for record in works if "failures" in record or "lost" in record] == []
    assert {record["class"] for record in works} == set(data["classes"])
    for record in data["classes"].values():
        assert {"failures", "lost"}.isdisjoint(record), record["model"]
        assert (record["eval_equal"], record["train_equal"], record["finite"]) == (True,) * 3, record["model"]


@pytest.mark.parametrize("name", [*CLASSIFIERS, *TRAPS])
def test_shapes(coverage, name, monkeypatch):
    if name in TRAPS:  # their traps are in the adapters, which all methods share
        monkeypatch.setattr(coverage.shapes, "HINTS", {})
    record = coverage.shapes.check_shapes(name)
    assert {"failures", "lost", "excluded"}.isdisjoint(record), record
    assert record["hints"]["failed"] == {}


@pytest.mark.parametrize("name", dict.fromkeys((*CLASSIFIERS, *IN_PLACE)))
def test_module_paths(coverage, name):
    record = coverage.paths.check_paths(name)
    assert (record["wrong"], record["stages"]) == ([], [])
    assert record["overwritten"] or name not in IN_PLACE


def test_a_path_that_is_wrong_is_found(coverage, monkeypatch):
    monkeypatch.setattr(coverage.paths.Tap, "end", lambda self, where: (True, self.output))
    record = coverage.paths.check_paths("test_resnet")
    assert record["wrong"] == record["overwritten"] != []


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_numbers(coverage, name, monkeypatch):
    if name not in CLASSIFIERS[:3:2]:  # a convolutional one and a transformer are enough
        monkeypatch.setattr(coverage.numbers, "HINTS", {})
    record = coverage.numbers.check_numbers(name)
    assert {"failures", "lost", "unreached"}.isdisjoint(record), record
    assert (record["eval_equal"], record["train_equal"], record["finite"]) == (True,) * 3
    assert record["hints"]["failed"] == {}


def test_what_fails_is_named(coverage, data):
    """A record with a mistake in it shows on the page: what the checks find is not lost on the way."""
    broken = copy.deepcopy(data)
    broken["models"]["resnet18"]["failures"] = {"crd": {"resnet18": "ValueError: no"}}
    record = broken["classes"]["timm.models.resnet:ResNet"]
    record |= {"eval_equal": False, "lost": ["fc.bias"], "unreached": ["fc.bias"]}
    page = coverage.page.page(broken)
    assert "- `resnet18`, crd, resnet18: ValueError: no" in page
    assert f"`{record['model']}`: `fc.bias`; the model's own logits do" in page
    members = sum(one["class"] == "timm.models.resnet:ResNet" for one in broken["models"].values())
    row = next(line for line in page.splitlines() if line.startswith("| `resnet:ResNet`"))
    assert f"{members - 1} of {members}" in row


def test_a_wrong_adapter_is_found(coverage, monkeypatch):
    from kdcore.features.timm import TimmAdapter

    whole = TimmAdapter.backbone

    def wrong(self, model, images, stages):
        final, features = whole(self, model, images, stages)
        return final * 1.001, features

    monkeypatch.setattr(TimmAdapter, "backbone", wrong)
    record = coverage.numbers.check_numbers("test_vit")
    assert (record["eval_equal"], record["train_equal"]) == (False, False)


def test_methods_that_fail_are_told_apart(coverage):
    def run(methods):
        if "crd" in methods:
            raise ValueError("no bank")
        return methods

    assert coverage.pair.attempt(["kd", "crd", "ofa"], run) == (["kd", "ofa"], {"crd": "ValueError: no bank"})

    def together(methods):
        if len(methods) > 1:
            raise ValueError("too many")

    assert coverage.pair.attempt(["kd", "crd"], together).failures == dict.fromkeys(
        ["kd", "crd"], "together: ValueError: too many"
    )


def test_an_interrupted_run_goes_on(coverage, tmp_path, monkeypatch, capsys):
    tried = []

    def check(name):
        tried.append(name)
        if name == "test_vit" and len(tried) == 2:
            raise KeyboardInterrupt
        return {"class": "c", "parameters": 1, "excluded": "no", "image_size": [1, 1]}

    monkeypatch.setattr(coverage.main, "check_shapes", check)
    arguments = ["--jobs", "1", "--output", str(tmp_path)]
    names = ["test_resnet", "test_vit"]
    monkeypatch.setattr(coverage.main.timm, "list_models", lambda pattern: [] if pattern else names)
    with pytest.raises(KeyboardInterrupt):
        coverage.main.main(arguments)
    part = tmp_path / "coverage.part"
    part.write_text(part.read_text() + '{"table": "models", "na')  # a line that was not finished
    assert coverage.main.main(arguments) == 0
    assert tried == ["test_resnet", "test_vit", "test_vit"]
    assert not part.exists()
    assert list(json.loads((tmp_path / "coverage.json").read_text())["models"]) == names
    assert "models 1/1" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        coverage.main.main([*arguments, "--models", "no-such-model"])


def test_a_method_that_refuses_is_told_from_one_that_fails(coverage):
    from kdcore import Problem, UserError

    def run(methods):
        if "catkd" in methods:
            raise UserError(Problem("student", "not linear (distiller 'catkd' needs it)"))
        if "mgd" in methods:
            place = f"distiller[{methods.index('mgd')}]" if len(methods) > 1 else "distiller"
            raise UserError(Problem(place, "no map"))
        if "srd" in methods:
            raise ValueError("a shape")

    refused, failed = coverage.pair.try_each(["cwd", "catkd", "mgd", "srd"], run)
    assert refused == {"catkd": "not linear (distiller 'catkd' needs it)", "mgd": "no map"}
    assert failed == {"srd": "ValueError: a shape"}
    assert coverage.pair.try_each(["mgd"], run) == ({"mgd": "no map"}, {})
    assert coverage.pair.try_each(["cwd"], run) == ({}, {})

    def late(methods):
        if "catkd" in methods:  # found in the first step, which does not know whose place it is
            raise UserError(Problem("student", "the logits are not linear in the map"))

    refused, failed = coverage.pair.try_each(["cwd", "catkd", "mgd"], late)
    assert refused == {"catkd": "the logits are not linear in the map"}
    assert failed == {}


def test_only_missing_parts_are_tried(coverage, data, tmp_path, monkeypatch):
    names = ("test_resnet", "test_vit", "gemma4_vit_167m_enc")
    small = {**data, "models": {name: data["models"][name] for name in names}}
    small["classes"] = {cls: one for cls, one in data["classes"].items() if one["model"] in small["models"]}
    for name in ("test_resnet", "test_vit"):
        small["models"][name] = {key: value for key, value in small["models"][name].items() if key != "hints"}
    small["models"]["test_vit"]["hints"] = {"refused": {}, "failed": {}}
    small["versions"] = coverage.main.versions()
    coverage.main.write(tmp_path / "coverage.json", small)
    tried = []

    def check(name, parts):
        tried.append((name, parts))
        return {"hints": {"refused": {"mgd": f"{name} has 3 maps"}, "failed": {}}}

    monkeypatch.setattr(coverage.main, "check_missing", check)
    assert coverage.main.main(["--jobs", "1", "--output", str(tmp_path), "--missing", "hints"]) == 0
    assert tried == [("test_resnet", ["hints"])]
    found = json.loads((tmp_path / "coverage.json").read_text())
    assert found["models"]["test_resnet"]["hints"]["refused"] == {"mgd": "test_resnet has 3 maps"}
    assert found["models"]["test_resnet"]["parameters"] == data["models"]["test_resnet"]["parameters"]
    page = (tmp_path / "coverage.md").read_text()
    assert "| `mgd` | `resnet18` | 1 | 1 | 0 |" in page
    assert "- `mgd`, 1 models: the student has N maps" in page
    with pytest.raises(SystemExit):
        (tmp_path / "coverage.json").write_text(json.dumps({**found, "versions": {}}))
        coverage.main.main(["--output", str(tmp_path), "--missing", "hints"])

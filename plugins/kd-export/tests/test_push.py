"""Pushing up to the network, which a stand-in for the hub's client is."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import httpx2
import pytest
import timm
import torch
import yaml
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from kd_export import push

from kdcore import RunFailed, UserError, load_student


@pytest.fixture
def hub(monkeypatch):
    """What timm's push does with the hub: calls, and the files that it uploads."""
    seen = SimpleNamespace(files={}, created=None, message=None, token=None, error=None)

    class Api:
        def __init__(self, token=None, **more):
            seen.token = token

        def create_repo(self, repo_id, private, exist_ok):
            if seen.error is not None:
                raise seen.error
            seen.created = (repo_id, private, exist_ok)
            return SimpleNamespace(repo_id=repo_id)

        def file_exists(self, **more):
            return False

        def upload_folder(self, repo_id, folder_path, commit_message, **more):
            seen.files = {path.name: path.read_bytes() for path in Path(folder_path).iterdir()}
            seen.message = commit_message
            return SimpleNamespace(repo_url=f"https://huggingface.co/{repo_id}")

    monkeypatch.setattr("timm.models._hub.HfApi", Api)
    monkeypatch.setattr("kd_export.push_student.get_token", lambda: "hf_token")
    return seen


def http_error(status):
    response = httpx2.Response(status, request=httpx2.Request("POST", "https://huggingface.co/api"))
    return HfHubHTTPError("refused by the hub", response=response, server_message="no, said the hub")


def test_what_is_pushed_is_what_a_dry_run_writes(a_run, hub):
    run = a_run()
    result = push(run, "me/tiny", license="mit", private=True)
    assert result.url == "https://huggingface.co/me/tiny"
    assert hub.created == ("me/tiny", True, True)
    assert hub.message == "Add resnet10t, the student of run resnet"
    assert set(hub.files) == {"config.json", "model.safetensors", "README.md"}  # no pickle
    dry = push(run, "me/tiny", license="mit", dry_run=True)
    assert dry.url is None
    assert dry.path == run / "export" / "hub"
    assert {path.name: path.read_bytes() for path in dry.path.iterdir()} == hub.files
    assert result.warnings == ()


@pytest.mark.parametrize(("flag", "value"), [("output", "there"), ("force", True)])
def test_a_flag_of_the_dry_run_alone_is_refused(a_run, flag, value):
    with pytest.raises(UserError, match=f"^--{flag}: this is for the folder of --dry-run"):
        push(a_run(), "me/tiny", **{flag: value})


def test_a_dry_run_replaces_only_the_folder_of_another_one(a_run, tmp_path):
    run = a_run()
    other = tmp_path / "other"
    other.mkdir()
    for name in ("model.safetensors", "config.json", "README.md"):
        (other / name).write_text("{}")
    for folder in (other, run / "student"):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(UserError, match="something else here"):
            push(run, "me/tiny", dry_run=True, output=folder, force=True)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    path = push(run, "me/tiny", dry_run=True).path
    push(run, "me/tiny", dry_run=True, force=True)
    (path / "figure.png").touch()
    with pytest.raises(UserError, match=r"files that kd did not write: figure\.png"):
        push(run, "me/tiny", dry_run=True, force=True)


def test_timm_loads_what_is_pushed(a_run):
    run = a_run()
    path = push(run, "me/tiny", dry_run=True).path
    model = timm.create_model(f"local-dir:{path}", pretrained=True).eval()
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model(images), load_student(run).model(images))
    config = json.loads((path / "config.json").read_text())
    ours = json.loads((run / "student" / "config.json").read_text())
    for key in ("architecture", "num_classes", "label_names"):
        assert config[key] == ours[key]
    assert config["model_args"].items() >= ours["model_args"].items()  # timm says its defaults too
    for key in ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode"):
        assert config["pretrained_cfg"][key] == ours["pretrained_cfg"][key]
    assert load_student(path).config.spec == load_student(run).config.spec


def test_the_card_tells_the_run(a_run):
    result = push(a_run(), "me/tiny", license="mit", dry_run=True)
    text = (result.path / "README.md").read_text()
    assert text == result.card
    _, head, body = text.split("---\n", 2)
    about = yaml.safe_load(head)
    assert about["license"] == "mit"
    assert about["library_name"] == "timm"
    assert "knowledge-distillation" in about["tags"]
    assert "trained on `digits` without a teacher" in body
    assert "| student resnet10t (this one) | 42,050 | 50.00 | 90.00 |  |" in body
    assert 'timm.create_model("hf-hub:me/tiny", pretrained=True)' in body
    assert "1 epochs, batch size 64, sgd, learning rate 0.05, cosine schedule, seed 0" in body


def test_the_card_has_teacher_distiller_and_paper(a_run, add_plugin):
    add_plugin(
        "kd-decoupled",
        """
        from kdcore import DistillerEntry, Paper, hookimpl

        @hookimpl
        def kd_distillers():
            paper = Paper("Decoupled Knowledge Distillation", 2022, "https://arxiv.org/abs/2203.08679")
            return [DistillerEntry(name="decoupled", kind="logit", summary="x", target="kd_decoupled:D",
                                   options="kd_decoupled:O", paper=paper)]
        """,
    )
    run = a_run()
    spec = json.loads((run / "spec.json").read_text())
    spec["distiller"] = {"name": "decoupled", "alpha": 1.0, "beta": 8.0}
    spec["teacher"] = {"run": "/home/me/secret/teacher.json"}
    (run / "spec.json").write_text(json.dumps(spec))
    summary = json.loads((run / "summary.json").read_text())
    summary["teacher"] = {"model": "resnet34", "parameters": 21_289_802, "top1": 99.0, "top5": 100.0}
    (run / "summary.json").write_text(json.dumps(summary))
    card = push(run, "me/tiny", dry_run=True).card
    assert "a larger teacher (resnet34) by the distiller `decoupled`" in card
    assert "`decoupled` (alpha=1.0, beta=8.0): [Decoupled Knowledge Distillation]" in card
    assert "| teacher resnet34 | 21,289,802 | 99.00 | 100.00 |  |" in card
    assert "secret" not in card


def test_a_card_of_few_classes_has_no_top_5(a_run):
    run = a_run()
    summary = json.loads((run / "summary.json").read_text())
    summary["student"].pop("top5")
    (run / "summary.json").write_text(json.dumps(summary))
    card = push(run, "me/tiny", dry_run=True).card
    assert "top-5" not in card
    assert "| student resnet10t (this one) | 42,050 | 50.00 |  |" in card


def test_no_license_is_claimed(a_run):
    result = push(a_run(), "me/tiny", dry_run=True)
    assert "license: unknown\n" in result.card
    assert "--license" in result.warnings[0]


def test_the_lines_for_a_stem_that_timm_cannot_build(a_run, monkeypatch):
    run = a_run("small")
    result = push(run, "me/tiny", license="mit", dry_run=True)
    assert "timm.create_model refuses the repository" in result.warnings[0]
    code = result.card.split("```python\n")[1].split("```")[0]
    monkeypatch.setattr(
        "huggingface_hub.hf_hub_download", lambda repository, name: result.path / name
    )  # the only line that needs the network
    names = {}
    exec(code, names)
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(names["model"](images), load_student(run).model(images))


def test_other_weights(a_run):
    run = a_run()
    path = push(run, "me/tiny", weights="ema", dry_run=True).path
    images = torch.randn(2, 3, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(
            timm.create_model(f"local-dir:{path}", pretrained=True).eval()(images),
            load_student(run / "student-ema").model(images),
        )


def test_a_plugins_model_is_not_timms(make_run, own_model):
    with pytest.raises(UserError, match="this student is own_net, a model of plugin kd-own") as caught:
        push(make_run("own", own_model), "me/own", dry_run=True)
    assert "kd export" in caught.value.problems[0].hint


@pytest.mark.parametrize("name", ["tiny", "a/b/c", "me/with space"])
def test_a_wrong_name(a_run, name):
    with pytest.raises(UserError) as caught:
        push(a_run(), name, dry_run=True)
    assert caught.value.problems[0].allowed == "USER/NAME"


def test_no_token(a_run, monkeypatch):
    monkeypatch.setattr("kd_export.push_student.get_token", lambda: None)
    with pytest.raises(UserError, match="wants a token to write") as caught:
        push(a_run(), "me/tiny")
    assert "hf auth login" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (401, UserError, "does not accept this token: no, said the hub"),
        (403, UserError, "may not write there: no, said the hub"),
        (500, RunFailed, r"the hub refuses: no, said the hub \(status 500\)"),
    ],
)
def test_the_hub_refuses(a_run, hub, status, kind, message):
    hub.error = http_error(status)
    with pytest.raises(kind, match=message):
        push(a_run(), "me/tiny")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (httpx2.ConnectError("Name or service not known"), "cannot be reached, nothing was pushed: Name or"),
        (ConnectionResetError("reset"), "cannot be reached"),
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE"),
    ],
)
def test_no_network(a_run, hub, error, message):
    hub.error = error
    with pytest.raises(RunFailed, match=message):
        push(a_run(), "me/tiny")


def test_a_mistake_of_the_library_is_not_called_the_network(a_run, hub):
    hub.error = TypeError("unexpected keyword")
    with pytest.raises(TypeError):
        push(a_run(), "me/tiny")

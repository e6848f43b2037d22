from __future__ import annotations

import json
import subprocess
from types import SimpleNamespace

import pytest

from kdcore.commands import doctor as examination
from kdcore.plugins import Plugins

HEALTHY = [
    {"package": "torch", "error": None},
    {"package": "torchvision", "error": None},
    {"devices": ["cpu, 2 threads"], "error": None},
    {"thing": "kdcore/vanilla", "problems": []},
]


@pytest.fixture
def probed(monkeypatch):
    """Let the probe answer this instead of importing everything."""

    def answer(lines, returncode=0, stderr=""):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        done = SimpleNamespace(stdout=text, returncode=returncode, stderr=stderr)
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    return answer


@pytest.fixture
def only_core(monkeypatch):
    """As if only the core were installed, each distribution once."""
    plugins = Plugins.discover([], disabled=(), strict=False)
    monkeypatch.setattr(examination, "Plugins", SimpleNamespace(discover=lambda **_: plugins))
    monkeypatch.setattr(examination, "duplicates", lambda names: {})
    monkeypatch.setattr(examination, "requires", lambda name: [])


def test_a_healthy_installation(kd, probed, only_core):
    probed(HEALTHY)
    done = kd("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.endswith("nothing is wrong\n")
    assert "  cpu, 2 threads" in done.out.splitlines()
    for name in ("python", "torch", "torchvision", "timm", "accelerate", "kdcore"):
        assert f"  {name} " in done.out


def test_as_json(kd, probed, only_core):
    probed(HEALTHY)
    about = json.loads(kd("doctor", "--json").out)
    assert about["ok"] is True
    assert about["devices"] == ["cpu, 2 threads"]
    assert about["plugins"][0]["name"] == "kdcore"
    assert about["versions"]["torch"]
    assert about["free_bytes"] > 0


def test_torchvision_that_does_not_fit_is_wrong(kd, probed, only_core):
    probed(
        [
            HEALTHY[0],
            {"package": "torchvision", "error": "RuntimeError: operator torchvision::nms does not exist"},
        ]
    )
    done = kd("doctor")
    assert done.code == 1
    assert "cannot be used: RuntimeError: operator torchvision::nms does not exist" in done.out
    assert "pip install --upgrade torch torchvision" in done.out


def test_torchvision_made_for_another_torch(kd, probed, only_core, monkeypatch):
    probed(HEALTHY)
    monkeypatch.setattr(examination, "version", lambda name: {"torch": "2.9.0+cu128"}.get(name, "1.0"))
    monkeypatch.setattr(examination, "requires", lambda name: ["numpy", "torch==2.9.0"])
    assert kd("doctor").code == 0
    monkeypatch.setattr(
        examination, "requires", lambda name: ["torch (==2.8.0)".replace("(", "").replace(")", "")]
    )
    done = kd("doctor")
    assert done.code == 1
    assert "torchvision 1.0 is made for torch 2.8.0, not 2.9.0+cu128" in done.out


def test_a_library_that_ends_python_is_wrong(kd, probed, only_core):
    probed(HEALTHY[:1], returncode=-11, stderr="Fatal Python error: Segmentation fault")
    done = kd("doctor")
    assert done.code == 1
    assert "ended Python" in done.out
    assert "Segmentation fault" in done.out


def test_a_missing_package_is_wrong(kd, probed, only_core, monkeypatch):
    probed(HEALTHY)

    def version(name):
        if name == "timm":
            raise examination.PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(examination, "version", version)
    done = kd("doctor")
    assert done.code == 1
    assert "wrong: timm is not installed: pip install timm" in done.out.splitlines()


def test_code_of_a_plugin_that_cannot_be_imported_is_wrong(kd, probed, only_core):
    probed([*HEALTHY, {"thing": "kd-fox/red", "problems": ["distiller 'red' of plugin kd-fox 1.0: no"]}])
    done = kd("doctor")
    assert done.code == 1
    assert "wrong: distiller 'red' of plugin kd-fox 1.0: no" in done.out.splitlines()


def test_a_broken_plugin_is_wrong_and_a_clash_is_a_note(kd, probed, add_plugin, alone):
    clash = """
    @hookimpl
    def kd_datasets():
        return [DatasetEntry(name="digits", summary="S.", target="m:T")]
    """
    add_plugin("kd-fox", clash)
    add_plugin("kd-owl", "1 / 0")
    probed(HEALTHY)
    done = kd("doctor")
    assert done.code == 1
    assert "wrong: plugin kd-owl 1.0 is broken: ZeroDivisionError" in done.out
    assert (
        "note: 'digits' is declared by 2 plugins: a spec has to say kd-fox/digits or kdcore/digits"
        in done.out
    )


def test_metadata_that_is_there_twice_is_wrong(kd, probed, add_plugin, alone, tmp_path):
    folder = add_plugin("kd-fox", "@hookimpl\ndef kd_models(): return []")
    other = folder.with_name("kd_fox-0.9.dist-info")
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: kd-fox\nVersion: 0.9\n")
    probed(HEALTHY)
    done = kd("doctor")
    assert done.code == 1
    assert "wrong: kd-fox is installed 2 times: " in done.out


@pytest.mark.parametrize(
    ("free", "word", "code"), [(10 * 2**20, "wrong", 1), (2**30, "note", 0), (2**40, "", 0)]
)
def test_disk(kd, probed, only_core, monkeypatch, free, word, code):
    probed(HEALTHY)
    monkeypatch.setattr(examination.shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    done = kd("doctor")
    assert done.code == code
    assert [line.split(":")[0] for line in done.out.splitlines() if "are free in" in line] == [word] * bool(
        word
    )


def test_everything_is_really_imported(kd_process, add_plugin, alone):
    code = """
    @hookimpl
    def kd_models():
        return [ModelEntry(name="den", summary="S.", target="kd_fox_nowhere:T")]

    from kdcore import RecipeEntry
    @hookimpl
    def kd_recipes():
        return [RecipeEntry("fast", "Fast.", "kd_fox_folder:fast.toml")]

    @hookimpl
    def kd_distillers():
        return [DistillerEntry(name="red", kind="logit", summary="Red.", target="kdcore:Problem",
                               options="kdcore:DistillerOptions", settings="kd_fox_papers:red.toml")]
    """
    add_plugin("kd-fox", code)
    done = kd_process("doctor", "--json")
    about = json.loads(done.out)
    assert done.code == 1
    assert about["devices"][0].startswith("cpu, ")
    for missing in ("kd_fox_nowhere", "kd_fox_folder:fast.toml", "kd_fox_papers:red.toml"):
        assert [problem for problem in about["problems"] if missing in problem]
    assert not [problem for problem in about["problems"] if "torch" in problem]


def test_what_a_plugin_requires_and_an_editable_one_that_moved_are_wrong(kd, probed, add_plugin, alone):
    folder = add_plugin("kd-fox", "@hookimpl\ndef kd_models(): return []")
    with (folder / "METADATA").open("a") as file:
        file.write("Requires-Dist: kdcore>=7\n")
    direct = {"url": "file:///nowhere/kd-fox", "dir_info": {"editable": True}}
    (folder / "direct_url.json").write_text(json.dumps(direct))
    probed(HEALTHY)
    done = kd("doctor")
    assert done.code == 1
    assert "wrong: kd-fox 1.0 requires kdcore>=7, but " in done.out
    assert (
        "wrong: kd-fox 1.0 is an editable installation of /nowhere/kd-fox, which does not exist" in done.out
    )
    assert "installed    editable, from /nowhere/kd-fox" in kd("plugins", "kd-fox").out

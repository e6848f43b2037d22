"""examples/plugins/kd-broken, with all its ways of being broken: nothing else suffers, and each is explained."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest

HOME = Path(__file__).parents[2] / "examples" / "plugins" / "kd-broken"
README = (HOME / "README.md").read_text("utf-8")

# by plugin: why, where (a file of the site folder, or the folder), and what mends it
WHY = {
    "broken-import": (
        "KeyError: 'default' (import_error.py, line 10)",
        "",
        "pip install --force-reinstall --no-deps kd-broken",
    ),
    "broken-dependency": (
        "it needs the module 'kd_broken_needs_this', which is not installed",
        "",
        "pip install --force-reinstall --no-deps kd-broken",
    ),
    "broken-nowhere": (
        "its module 'kd_broken.nowhere' does not exist",
        "",
        "pip install --force-reinstall --no-deps kd-broken",
    ),
    "broken-api": (
        "it needs plugin API 1000; kdcore 0.1.0 has 1",
        "kd_broken/newer_api.py",
        "pip install --upgrade ",  # kdcore, from where it is
    ),
    "broken-hook": (
        "kd does not have a hook 'kd_distiller'; did you mean 'kd_distillers'?",
        "kd_broken/misspelt_hook.py",
        "pip install --force-reinstall --no-deps kd-broken",
    ),
    "broken-raising": (
        "kd_datasets() raised LookupError: the list of datasets is empty (raising_hook.py, line 27)",
        "kd_broken/raising_hook.py",
        "pip install --force-reinstall --no-deps kd-broken",
    ),
    "broken-twin": (
        "kd-broken 0.1.0 and kd-broken-twin 0.2.0 have the same plugin name 'broken-twin'; none is loaded",
        "",
        "disable one by its distribution: KD_DISABLE_PLUGINS=kd-broken or KD_DISABLE_PLUGINS=kd-broken-twin",
    ),
    "broken-orphan": (
        "its module 'kd_broken_orphan' does not exist",
        "",
        "pip install --force-reinstall --no-deps kd_broken_orphan",
    ),
}
TRACED = {"broken-import": "_settings()", "broken-raising": "raise LookupError"}  # lines of their code


def install(site: Path, project: Path) -> None:
    """The package and the metadata that pip would write."""
    about = tomllib.loads((project / "pyproject.toml").read_text())
    (package,) = about["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    shutil.copytree(project / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    name, version = about["project"]["name"], about["project"]["version"]
    folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    points = about["project"]["entry-points"]["kdcore"]
    (folder / "entry_points.txt").write_text(
        "[kdcore]\n" + "".join(f"{point} = {value}\n" for point, value in points.items())
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder like site-packages, with kd-broken, its twin, and what an interrupted removal leaves."""
    site = tmp_path_factory.mktemp("site")
    install(site, HOME)
    install(site, HOME / "twin")
    orphan = site / "kd_broken_orphan-0.3.0.dist-info"
    orphan.mkdir()
    (orphan / "entry_points.txt").write_text("[kdcore]\nbroken-orphan = kd_broken_orphan\n")
    return site


@pytest.fixture(scope="module")
def kd(site):
    """Runs `kd` in a process of its own, beside the broken plugins; the same call again gives the same answer."""

    @cache
    def call(*arguments, **environment):
        keep = "KD_NO_REPORT"
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("KD_") or k == keep}
        path = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
        done = subprocess.run(
            [sys.executable, "-m", "kdcore", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**inherited, "PYTHONPATH": path, **environment},
        )
        return SimpleNamespace(code=done.returncode, out=done.stdout, err=done.stderr)

    return call


@pytest.fixture(scope="module")
def infos(kd):
    """What `kd plugins --json` says."""
    return json.loads(kd("plugins", "--json").out)


@pytest.mark.parametrize("command", [["--help"], ["list-distillers", "--json"], ["list-datasets", "--json"]])
def test_help_and_lists_are_what_they_are_without_them(kd, command):
    done = kd(*command)
    alone = kd(*command, KD_DISABLE_PLUGINS="kd-broken,kd-broken-twin,broken-orphan")
    assert (done.code, alone.code, alone.err) == (0, 0, "")
    if command == ["--help"]:
        assert done.out == alone.out
    else:
        others = [item for item in json.loads(done.out) if item["name"] != "broken-twice"]
        assert others == json.loads(alone.out)


def test_a_warning_line_for_each_broken_one(kd, infos):
    lines = kd("list-distillers", "--json").err.splitlines()
    broken = [info for info in infos if info["status"] == "broken"]
    assert len(broken) == len(WHY) + 1  # both twins
    for info, line in zip(broken, lines, strict=True):
        assert line.startswith("warning: plugin ")
        assert info["distribution"] in line
        assert line.endswith(f"is broken: {info['error']}")


@pytest.mark.parametrize("name", WHY)
def test_kd_plugins_says_which_where_and_why(kd, infos, site, name):
    error, file, fix = WHY[name]
    found = [info for info in infos if info["name"] == name]
    owners = {"broken-twin": {"kd-broken", "kd-broken-twin"}, "broken-orphan": {"kd_broken_orphan"}}
    assert {info["distribution"] for info in found} == owners.get(name, {"kd-broken"})
    for info in found:
        assert (info["status"], info["error"]) == ("broken", error)
        assert fix in info["fix"]  # as pip of the environment that the tests run in is called
        assert Path(info["location"]) == site / file
        assert info["version"] == {"broken-orphan": "unknown"}.get(name, info["version"])
    rows = [line for line in kd("plugins").out.splitlines() if line.startswith(f"{name} ")]
    assert len(rows) == len(found)
    assert all(row.endswith(error) and " broken " in row for row in rows)


def test_kd_plugins_of_each_by_name(kd, site):
    """One process for all: `kd plugins NAME` is the same command each time."""
    code = "import sys\nfrom kdcore.cli import main\nfor name in sys.argv[1:]:\n    try:\n"
    code += "        main(['plugins', name])\n    except SystemExit as done:\n        print('ended with', done.code)\n"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run(
        [sys.executable, "-c", code, *WHY], capture_output=True, text=True, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, "")
    parts = done.stdout.split("ended with 0\n")[:-1]
    for name, part in zip(WHY, parts, strict=True):
        error, file, fix = WHY[name]
        lines = part.splitlines()
        assert f"plugin       {name}" in lines
        assert "status       broken" in lines
        assert f"error        {error}" in lines
        assert any(line.startswith("to fix it    ") and fix in line for line in lines)
        assert f"location     {site / file}" in lines
        assert TRACED.get(name, "") in part


def test_the_readmes_table_says_what_kd_says(infos):
    said = dict(re.findall(r"^\| `([\w-]+)` \|.*\| `(.*)` \|$", README, flags=re.MULTILINE))
    assert said == {name: why for name, (why, *_) in WHY.items() if name != "broken-orphan"}
    declared = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["entry-points"]["kdcore"]
    assert set(declared) | {"broken-orphan"} == {
        info["name"] for info in infos if info["name"].startswith("broken-")
    }
    assert [name for name in declared if f"`{name}`" not in README] == []


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    """A spec with this distiller, and where its runs go."""
    folder = tmp_path_factory.mktemp("specs")
    data = {"dataset": "digits", "image_size": 32, "train_samples": 32, "eval_samples": 32, "workers": 0}
    student = {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}}

    def write(distiller):
        path = folder / f"{distiller.replace('/', '-')}.json"
        content = {"data": data, "student": student, "distiller": distiller, "train": {"epochs": 1}}
        if distiller != "vanilla":
            content["teacher"] = student
        path.write_text(json.dumps(content))
        return str(path)

    return write


def test_a_run_that_needs_none_of_them(kd, spec):
    """Hooks of one of them raise in it, the last with SystemExit."""
    pytest.importorskip("sklearn")
    done = kd("run", spec("vanilla"), "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["status"] == "finished"
    raised = [line for line in done.err.splitlines() if "broken-run" in line]
    for event, cause in (
        ("kd_run_started", "RuntimeError: no run may begin"),
        ("kd_epoch_ended", "KeyError: 'not there'"),
        ("kd_run_finished", "SystemExit: 3"),
    ):
        assert any(
            f"{event}() raised {cause}" in line and line.endswith("the run continues") for line in raised
        )
    assert len(raised) == 3


@pytest.mark.parametrize(
    ("distiller", "message"),
    [
        (
            "broken-twice",
            "2 plugins have a distiller of this name: broken-same-1 (kd-broken 0.1.0) and broken-same-2 (kd-broken",
        ),
        (
            "broken-lost",
            "comes with plugin broken-raising (kd-broken 0.1.0), which is broken: kd_datasets() raised",
        ),
        ("broken-import/any", "broken-import (kd-broken 0.1.0), which is broken: KeyError: 'default'"),
    ],
)
def test_a_spec_that_needs_one_of_them(kd, spec, distiller, message):
    done = kd("validate", spec(distiller))
    assert done.code == 2
    assert message in done.err


def test_one_of_two_with_a_name_can_be_chosen(kd, spec):
    assert kd("validate", "--no-models", spec("broken-same-2/broken-twice")).code == 0


def test_strict_is_fatal_but_for_the_table(kd):
    for command, told in (("list-distillers", "err"), ("plugins", "out")):
        done = kd(command, KD_STRICT_PLUGINS="1")
        assert done.code == 2
        assert all(error in getattr(done, told) for error, *_ in WHY.values())

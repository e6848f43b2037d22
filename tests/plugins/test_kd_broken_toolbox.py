"""examples/plugins/kd-broken/toolbox: one thing of every role, broken in each way. Nothing else is affected.

Whatever breaks, the message names the thing, the plugin with its version, and the cause.
"""

from __future__ import annotations

import json
import shutil
import sys
import tomllib
from pathlib import Path

import kd_compare
import kd_export
import kd_report
import pytest

import kdcore
from kdcore import RunFailed, UserError
from kdcore.cli import main
from kdcore.plugins import get_plugins
from kdcore.plugins.roles import ROLES

HOME = Path(__file__).parents[2] / "examples" / "plugins" / "kd-broken" / "toolbox"
VERSION = "kd-broken-toolbox 0.3.0"
WAYS = ("lost", "wrong", "failing")
LOST = "ImportError: libtoolbox.so.1 cannot be opened"
# what the hook of each plugin returns, whose records are wrong
RECORDS = {
    "distillers": "kd_distillers() returned a list with str 'kd', not kdcore.DistillerEntry",
    "adapters": "kd_feature_adapters() returned int 4, not a list of kdcore.AdapterEntry",
    "datasets": "kd_datasets() returned None, not a list of kdcore.DatasetEntry",
    "models": "kd_models() returned a list with dict {",
    "transforms": "kd_transforms() returned a list with type <class 'KeyError'>, not kdcore.TransformEntry",
    "commands": "kd_commands() returned a list with builtin_function_or_method",
    "recipes": "kd_recipes() returned a list with MetricEntry",
    "exporters": "kd_exporters() returned a list with str 'npz', not kdcore.ExporterEntry",
    "metrics": "kd_metrics() raised ValueError: MetricEntry(name='recall'): target is 'recall'",
    "sections": "kd_report_sections() returned a list with str '<p>quite good</p>', not kdcore.SectionEntry",
    "launchers": "kd_launchers() returned generator",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The package as it is installed."""
    site = tmp_path_factory.mktemp("site")
    project = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]
    package = "kd_broken_toolbox"
    shutil.copytree(HOME / package, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    folder = site / f"{package}-{project['version']}.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    points = project["entry-points"]["kdcore"]
    (folder / "entry_points.txt").write_text(
        "[kdcore]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
    )
    return site


@pytest.fixture(scope="module", autouse=True)
def _installed(site):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("KD_NO_REPORT", "1")
        get_plugins.cache_clear()
        yield
    get_plugins.cache_clear()
    for name in [name for name in sys.modules if name.startswith("kd_broken_toolbox")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def finished(tmp_path_factory, write_spec):
    """The directory of a run that was made next to all of them."""
    path = write_spec(tmp_path_factory.mktemp("finished"))
    return Path(kdcore.run(path, quiet=True).directory)


@pytest.fixture(scope="module")
def write_spec(tiny_images):
    """Writes a spec of one short epoch."""

    def write(folder, **more):
        spec = {
            "name": "tiny",
            "output": str(folder / "runs"),
            "data": {"dataset": str(tiny_images), "image_size": 16, "workers": 0},
            "student": {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}},
            "distiller": "vanilla",
            "train": {"epochs": 1, "batch_size": 8},
        }
        path = folder / "spec.json"
        path.write_text(json.dumps(spec | more))
        return path

    return write


@pytest.fixture(scope="module")
def tiny_images(tmp_path_factory):
    from PIL import Image

    root = tmp_path_factory.mktemp("images")
    for split in ("train", "test"):
        for number in range(8):
            folder = root / split / f"class{number % 2}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (16, 16), (200 * (number % 2), 20 * number, 30)).save(folder / f"{number}.png")
    return root


def kd(*arguments):
    """The exit code of a command."""
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, arguments)))
    return ended.value.code


def assert_explained(text, way, role, cause):
    """The message names the thing, the plugin with its version, and the cause."""
    assert f"{way}-{role.replace('report ', '')}" in text
    assert f"broken-{way} ({VERSION})" in text
    assert cause in text


# -- the package --------------------------------------------------------------------------------------------------


def test_each_of_the_three_has_every_role():
    infos = {info.name: info for info in get_plugins().infos}
    for way in WAYS:
        info = infos[f"broken-{way}"]
        assert info.status == "loaded"
        assert {type(entry) for entry in info.entries} == set(ROLES)


@pytest.mark.parametrize("name", RECORDS)
def test_wrong_records_break_their_plugin_alone(name):
    (info,) = [info for info in get_plugins().infos if info.name == f"broken-{name}"]
    assert (info.status, info.entries) == ("broken", ())
    assert info.error.startswith(RECORDS[name])
    assert info.label == f"broken-{name} ({VERSION})"


def test_every_role_has_a_plugin_with_wrong_records():
    assert {text.partition("(")[0] for text in RECORDS.values()} == {role.hook for role in ROLES.values()}


# -- what a spec names ----------------------------------------------------------------------------------------------


TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 8, 8]}}
SPECS = {
    "distiller": lambda name: {"distiller": name, "teacher": TEACHER},
    "adapter": lambda name: {
        "student": TEACHER | {"adapter": name},
        "distiller": "fitnet",
        "teacher": TEACHER,
    },
    "dataset": lambda name: {"data": {"dataset": name, "image_size": 16, "workers": 0}},
    "model": lambda name: {"student": {"model": name}},
    "transform": lambda name: {"student": TEACHER | {"transform": name}},
    "recipe": lambda name: {"recipe": name},
    "metric": lambda name: {"metrics": [name]},
}
CAUSES = {
    ("wrong", "distiller"): (1, "returned 1.0; it must return a dictionary of named scalars"),
    ("failing", "distiller"): (1, "ZeroDivisionError: a temperature of 0"),
    ("wrong", "adapter"): (2, "stages() returned str; it must return StageInfo records"),
    ("failing", "adapter"): (1, "AttributeError: this model has no trunk"),
    ("wrong", "dataset"): (2, "it gave int, which does not have len() or items"),
    ("failing", "dataset"): (2, "the images are locked"),
    ("wrong", "model"): (2, "returned str; it must return an nn.Module"),
    ("failing", "model"): (2, "KeyError: 'width'"),
    ("wrong", "transform"): (2, "returned int; it must return a kdcore.Transformed"),
    ("failing", "transform"): (2, "failed: OverflowError: too many channels"),
    ("lost", "recipe"): (2, "the package does not have this file"),
    ("wrong", "recipe"): (2, "this key is not known"),
}
NOT_HERE = {
    ("wrong", "metric"): "it is found when it is computed",
    ("failing", "metric"): "it is found when it is computed",
    ("failing", "recipe"): "its value is wrong, not its file",
}


@pytest.mark.parametrize("role", SPECS)
@pytest.mark.parametrize("way", WAYS)
def test_a_spec_that_names_it_ends_before_anything_is_trained(way, role, write_spec, tmp_path, capsys):
    if (way, role) in NOT_HERE:
        pytest.skip(f"{NOT_HERE[way, role]}: see the test below")
    path = write_spec(tmp_path, **SPECS[role](f"{way}-{role}"))
    code, cause = CAUSES.get((way, role), (2, LOST))
    assert kd("run", path) == code
    said = capsys.readouterr().err
    named = (
        f"broken-{way}/{way}-{role} 0.3.0"
        if role == "dataset" and way != "lost"
        else f"broken-{way} ({VERSION})"
    )
    assert named in said
    assert cause in said
    assert not list(tmp_path.glob("runs/*/metrics.jsonl"))


def test_a_value_of_a_recipe_that_no_spec_can_have(write_spec, tmp_path):
    path = write_spec(tmp_path, recipe="failing-recipe", train={"batch_size": 8})
    with pytest.raises(UserError, match=r"train\.epochs \(from recipe failing-recipe\)"):
        kdcore.run(path, quiet=True)


def test_the_lists_leave_out_broken_recipes(capsys):
    assert kd("list-recipes", "--json") == 0
    said = capsys.readouterr()
    names = {recipe["name"] for recipe in json.loads(said.out)}
    assert "cifar-240" in names
    assert {"lost-recipe", "wrong-recipe"} & names == set()
    for way in ("lost", "wrong"):
        assert f"recipe '{way}-recipe' of plugin broken-{way} ({VERSION})" in said.err


# -- what a run, an evaluation and a report use by themselves ---------------------------------------------------------


METRICS = {
    "lost": LOST,
    "wrong": "ValueError: could not convert string to float: 'quite good'",
    "failing": "SystemExit: 4",
}


def test_a_run_goes_on_without_broken_metrics(write_spec, tmp_path, capsys):
    result = kdcore.run(write_spec(tmp_path))
    said = capsys.readouterr().err
    assert result.summary["status"] == "finished"
    assert result.summary["student"]["top1"] is not None
    assert "lost-metric" not in result.summary["student"]
    assert result.summary["student"]["wrong-metric"] is result.summary["student"]["failing-metric"] is None
    for way, cause in METRICS.items():
        (line,) = [line for line in said.splitlines() if f"'{way}-metric'" in line]
        assert_explained(line, way, "metric", cause)


def test_an_evaluation_goes_on_without_broken_metrics(finished):
    result = kd_report.evaluate(finished, batch_sizes=())
    assert result.student.top1 is not None
    for way, cause in METRICS.items():
        (line,) = [line for line in result.warnings if f"'{way}-metric'" in line]
        assert_explained(line, way, "metric", cause)


def test_a_report_has_all_other_sections(finished):
    result = kd_report.report(finished)
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert 'id="classes"' in page
    causes = {"lost": LOST, "wrong": "it returned str", "failing": "it raised SystemExit: 5"}
    for way, cause in causes.items():
        (note,) = [note for note in result.notes if f"'{way}-section'" in note]
        assert_explained(note, way, "report section", cause)


def test_a_hook_that_fails_changes_nothing_of_a_failed_run(write_spec, tmp_path, capsys):
    with pytest.raises(RunFailed, match=r"NaN|infinite|not finite"):
        kdcore.run(write_spec(tmp_path, optimizer={"lr": 1e30}, train={"epochs": 3, "batch_size": 8}))
    said = capsys.readouterr().err
    for way in WAYS:
        expected = f"plugin broken-{way} ({VERSION}): kd_run_failed() raised RuntimeError: no run may fail"
        assert said.count(expected) == 1
    assert json.loads((tmp_path / "runs" / "tiny" / "summary.json").read_text())["status"] == "failed"


# -- what a command line names ----------------------------------------------------------------------------------------


EXPORTERS = {
    "lost": (UserError, LOST),
    "wrong": (UserError, "names 'weights.bin', which it did not write"),
    "failing": (RunFailed, "SystemExit: 3"),
}


@pytest.mark.parametrize("way", EXPORTERS)
def test_an_exporter_leaves_nothing_behind(way, finished):
    kind, cause = EXPORTERS[way]
    with pytest.raises(kind) as caught:
        kd_export.export(finished, f"{way}-exporter", samples=0)
    assert_explained(str(caught.value), way, "exporter", cause)
    assert not list(finished.glob("export/*exporter*"))
    assert kd_export.export(finished, "torch", samples=0, force=True).files


LAUNCHERS = {
    "lost": (UserError, LOST),
    "wrong": (RunFailed, "start() must return text or None, not 17"),
    "failing": (RunFailed, "failed in start(): ConnectionError: the queue does not answer"),
}


@pytest.mark.parametrize("way", LAUNCHERS)
def test_a_launcher_ends_its_comparison_alone(way, write_spec, tmp_path):
    kind, cause = LAUNCHERS[way]
    path = write_spec(tmp_path)
    with pytest.raises(kind) as caught:
        kd_compare.compare(path, seeds=1, launcher=f"{way}-launcher", quiet=True)
    assert_explained(str(caught.value), way, "launcher", cause)


COMMANDS = {
    "lost": (2, LOST),
    "wrong": (2, "cannot be a command: it is dict"),
    "failing": (1, "LookupError: the list is empty"),
}


@pytest.mark.parametrize("way", COMMANDS)
def test_a_command_says_why_when_it_is_called(way, capsys):
    code, cause = COMMANDS[way]
    assert kd(f"{way}-command") == code
    assert_explained(capsys.readouterr().err, way, "command", cause)


def test_help_lists_the_commands_and_works(capsys):
    assert kd("--help") == 0
    said = capsys.readouterr()
    for way in WAYS:
        assert f"{way}-command" in said.out
    for name in RECORDS:
        assert f"broken-{name} ({VERSION}) is broken: " in said.err.replace("plugin ", "")

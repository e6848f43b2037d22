import json
import sys
from pathlib import Path

import pytest

from kdcore.errors import UserError
from kdcore.spec.load import load_spec, resolve, resolved_dict
from kdcore.spec.models import RunSpec
from kdcore.spec.train_spec import TaskSpec


@pytest.fixture
def load(plugins, write):
    def call(content, name="my-run.json", **arguments):
        return load_spec(write(content, name), plugins=plugins, **arguments)

    return call


def test_a_minimal_spec(load, tmp_path):
    loaded = load({"student": {"model": "resnet34"}, "distiller": "still"})
    assert loaded.spec.name == "my-run"
    assert loaded.spec.output == str(tmp_path / "runs")
    assert loaded.path == tmp_path / "my-run.json"
    assert loaded.teachers == {}
    assert loaded.spec.task.weight == 1.0
    (distiller,) = loaded.distillers
    assert (distiller.name, distiller.provided.qualified) == ("still", "kd-toys/still")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a b+c.json", "a-b-c"),
        ("_.x.json", "x"),
        ("ü.json", "run"),
        ("x" * 150 + ".json", "x" * 128),
        ("first-run/spec.json", "first-run"),
    ],
)
def test_the_name_comes_from_the_file(load, good, name, expected):
    assert load(good(), name).spec.name == expected


def test_a_name_in_the_spec_stays(load, good):
    assert load(good(name="mine")).spec.name == "mine"


def test_all_formats_give_the_same_spec(load, good):
    spec = good(name="same", distiller=[{"name": "toy", "alpha": 0.05}, "still"], task={"weight": 1})
    toml = (
        'name = "same"\n[student]\nmodel = "resnet34"\n[teacher]\nmodel = "vit_tiny_patch16_224"\n'
        '[task]\nweight = 1\n[[distiller]]\nname = "toy"\nalpha = 5e-2\n[[distiller]]\nname = "still"\n'
    )
    yaml = (
        "name: same\nstudent: {model: resnet34}\nteacher: {model: vit_tiny_patch16_224}\n"
        "task: {weight: 1}\ndistiller:\n- {name: toy, alpha: 5e-2}\n- still\n"
    )
    specs = [load(spec).spec, load(toml, "a.toml").spec, load(yaml, "a.yaml").spec, load(yaml, "a.yml").spec]
    assert all(other == specs[0] for other in specs)


def test_paths_are_absolute(load, tmp_path, monkeypatch):
    home = tmp_path / "home"
    (home / "birds").mkdir(parents=True)
    (tmp_path / "weights.pth").write_bytes(b"")
    monkeypatch.setenv("HOME", str(home))
    loaded = load(
        {
            "output": "../out",
            "data": {"dataset": "~/birds", "root": "root"},
            "student": {"model": "resnet34", "checkpoint": "weights.pth"},
            "teacher": {"model": "resnet34", "checkpoint": str(home)},
            "distiller": "toy",
        },
        "specs/../a.json",
    )
    assert loaded.spec.output == str(tmp_path.parent / "out")
    assert loaded.spec.data.dataset == str(home / "birds")
    assert loaded.spec.data.root == str(tmp_path / "root")
    assert loaded.spec.student.checkpoint == str(tmp_path / "weights.pth")
    assert loaded.spec.teacher.checkpoint == str(home)


def test_options_are_filled_in(load, good):
    loaded = load(good(distiller={"name": "kd-toys/toy", "alpha": 2, "sizes": [5, 6]}))
    assert loaded.distillers[0].options.alpha == 2.0
    assert loaded.distillers[0].options.sizes == (5, 6)
    assert resolved_dict(loaded)["distiller"] == {
        "name": "kd-toys/toy", "weight": 1.0, "alpha": 2.0, "mode": "soft", "sizes": [5, 6], "flag": False,
        "scale": "auto", "inner": {"depth": 2}, "stages": [1, 2],
    }  # fmt: skip
    assert resolved_dict(loaded)["task"] == TaskSpec(weight=0.25).model_dump(mode="json")


@pytest.mark.parametrize(
    "distiller", ["toy", {"name": "toy", "alpha": 3}, ["still", {"name": "toy", "scale": 2}]]
)
def test_the_resolved_spec_loads_to_an_equal_one(load, good, plugins, distiller, tmp_path):
    first = load(good(distiller=distiller, task={"weight": 1}, data={"mean": [0.5], "image_size": 32}))
    text = json.dumps(resolved_dict(first), allow_nan=False)
    second = load(text, "elsewhere/spec.json")
    assert second.spec == first.spec
    assert resolved_dict(second) == json.loads(text)
    assert [item.options for item in second.distillers] == [item.options for item in first.distillers]
    assert load_spec(tmp_path / "elsewhere", plugins=plugins).spec == first.spec


def test_overrides(load, good):
    overrides = ["train.epochs=3", "distiller.alpha=5e-1", "teacher.model=resnet50", "name=other"]
    spec = load(good(), overrides=overrides).spec
    assert (spec.train.epochs, spec.distiller[0].options["alpha"]) == (3, 0.5)
    assert (spec.teacher.model, spec.name) == ("resnet50", "other")


def test_wrong_overrides_are_told_with_their_flag(good, problems_of):
    found = problems_of(good(), overrides=["tran.epochs=3", "train.epochs=0", "distiller.alpa=1", "x"])
    assert list(found) == [
        "--set",
        "distiller.alpa (--set distiller.alpa=1)",
        "tran (--set tran.epochs=3)",
        "train.epochs (--set train.epochs=0)",
    ]
    assert found["tran (--set tran.epochs=3)"].nearest == "train"


def test_an_override_mends_the_file(load, good):
    assert load(good(train={"epochs": 0}), overrides=["train.epochs=1"]).spec.train.epochs == 1


def test_the_key_for_editors_is_no_part_of_the_spec(load, good):
    assert load(good(**{"$schema": "kd.json"})).spec == load(good()).spec


@pytest.mark.parametrize("output", [Path("out"), "out"])
def test_output_from_the_command_line(load, good, write, tmp_path, monkeypatch, output):
    write(good(teacher=None, distiller="still"), "teachers/teacher.json")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    loaded = load(good(teacher={"run": "teachers/teacher.json"}), output=output)
    assert loaded.spec.output == loaded.teachers["teacher"].spec.output == str(tmp_path / "here" / "out")


def test_output_that_is_a_file(good, problems_of, tmp_path):
    (tmp_path / "file").write_text("")
    assert list(problems_of(good(), output=tmp_path / "file")) == ["output (--output)"]


def test_the_teachers_own_spec(load, good, write, tmp_path):
    write(good(teacher={"run": "../grand.json"}, student={"model": "resnet50"}), "teachers/teacher.json")
    write(good(teacher=None, distiller="still"), "grand.json")
    loaded = load(good(teacher={"run": "teachers/teacher.json"}))
    assert loaded.teachers["teacher"].spec.student.model == "resnet50"
    assert loaded.teachers["teacher"].spec.output == str(tmp_path / "teachers" / "runs")
    assert loaded.teachers["teacher"].teachers["teacher"].spec.name == "grand"
    assert loaded.spec.teacher.run == str(tmp_path / "teachers" / "teacher.json")
    assert loaded.distillers[0].name == "toy"


def test_a_run_directory_as_the_teachers_spec(load, good):
    first = load(good(distiller="still", teacher=None, name="first"))
    load(resolved_dict(first), "runs/first/spec.json")
    assert load(good(teacher={"run": "runs/first"})).teachers["teacher"].spec == first.spec


def test_problems_of_the_teachers_spec(good, problems_of, write):
    write(
        good(student={"model": "resnet43"}, train={"epochs": 0}, teacher={"run": "grand.json"}),
        "teacher.json",
    )
    write(good(lr=1), "grand.json")
    found = problems_of(good(teacher={"run": "teacher.json"}, seed=-1))
    assert set(found) == {
        "teacher.run (teacher.json): student.model",
        "teacher.run (teacher.json): train.epochs",
        "teacher.run (teacher.json): teacher.run (grand.json): lr",
        "seed",
    }
    assert found["teacher.run (teacher.json): student.model"].nearest == "resnet34"


@pytest.mark.parametrize(
    ("teacher", "where", "words"),
    [
        (None, "teacher.run", "there is no file"),
        ("{", "teacher.run (teacher.json)", "broken JSON in line 1"),
        ("", "teacher.run (teacher.json)", "empty"),
        ({"teacher": {"run": "my-run.json"}}, "teacher.run (teacher.json): teacher.run",
         "my-run.json -> teacher.json -> my-run.json"),
        ({"teacher": {"run": "teacher.json"}}, "teacher.run (teacher.json): teacher.run",
         "teacher.json -> teacher.json"),
        ({"name": "my-run"}, "name", "the same directory"),
        ({"student": {"model": "resnet50"}}, "teacher.model", "trains another model, 'resnet50'"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_teachers_spec(good, problems_of, write, teacher, where, words):
    if teacher is not None:
        write(
            {**good(teacher=None, distiller="still"), **teacher} if isinstance(teacher, dict) else teacher,
            "teacher.json",
        )
    found = problems_of(good(teacher={"run": "teacher.json", "model": "resnet34"}))
    assert list(found) == [where]
    assert words in found[where].message


def test_a_broken_teacher_is_not_compared_with(good, problems_of, write):
    write(good(student={"model": 3}, name="my-run", teacher=None, distiller="still"), "teacher.json")
    found = problems_of(good(teacher={"run": "teacher.json", "model": "resnet50"}))
    assert list(found) == ["teacher.run (teacher.json): student.model"]


def test_a_spec_is_its_own_teacher(good, problems_of):
    assert list(problems_of(good(teacher={"run": "my-run.json"}))) == ["teacher.run"]


def test_a_grandteacher_in_the_same_directory(good, problems_of, write):
    write(good(teacher={"run": "grand.json"}), "teacher.json")
    write(good(teacher=None, distiller="still", name="my-run"), "grand.json")
    assert list(problems_of(good(teacher={"run": "teacher.json"}))) == ["name"]


def test_specs_made_in_python(plugins, tmp_path):
    spec = RunSpec(student={"model": "resnet34", "checkpoint": "."}, distiller={"name": "toy", "alpha": 2})
    loaded = resolve(spec, base=tmp_path, plugins=plugins)
    assert loaded.path is None
    assert loaded.spec.student.checkpoint == str(tmp_path)
    assert loaded.distillers[0].options.alpha == 2
    wrong = RunSpec(student={"model": "resnet43"}, distiller=["toyy", "toy"])
    with pytest.raises(UserError) as caught:
        resolve(wrong, base=tmp_path, plugins=plugins)
    assert [problem.where for problem in caught.value.problems] == [
        "student.model",
        "distiller[0].name",
        "task.weight",
    ]


def test_without_plugins_the_installed_ones_count(write, tmp_path):
    assert (
        load_spec(write({"student": {"model": "resnet34"}, "distiller": "vanilla"})).distillers[0].name
        == "vanilla"
    )
    spec = RunSpec(student={"model": "resnet34"}, distiller="vanilla")
    assert resolve(spec, base=tmp_path).spec.name == "run"


def test_nothing_in_a_spec_is_imported(load, good, problems_of, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    found = problems_of(
        good(
            student={"model": "evil_module:Net"}, distiller="evil_module/x", data={"dataset": "evil_module:x"}
        )
    )
    assert set(found) == {"student.model", "distiller", "data.dataset"}
    assert "evil_module" not in sys.modules

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import kd_compare
import pytest
from kd_compare import comparison as api
from kd_compare.halving import Budget
from kd_compare.plan import ComparisonPlan, make_plan
from kd_compare.request import Request, is_comparison, parse_seeds, read_comparison

import kdcore
from kdcore import DistillerEntry, UserError
from kdcore.errors import Problem
from kdcore.plugins import get_plugins
from kdcore.run import preflight
from kdcore.spec.load import resolved_dict

CHECK = preflight.check
ALL = get_plugins().all(DistillerEntry)
TEACHER = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}


@pytest.fixture(autouse=True)
def _models_fit(monkeypatch: pytest.MonkeyPatch):
    """The check that builds models has its own tests; here it finds nothing unless a test says so."""
    monkeypatch.setattr(preflight, "check", lambda loaded, plugins: SimpleNamespace(warnings=()))


@pytest.fixture
def base(tmp_path: Path):
    """Writes a spec; keywords are added to it."""
    pytest.importorskip("sklearn", reason="the digits need scikit-learn")

    def write(stem: str = "base", /, **changes: Any) -> Path:
        spec = {
            "data": {"dataset": "digits", "image_size": 32, "train_samples": 40, "workers": 0},
            "teacher": TEACHER,
            "student": TEACHER,
            "distiller": "vanilla",
            "train": {"epochs": 2, "batch_size": 20},
        }
        path = tmp_path / f"{stem}.json"
        path.write_text(json.dumps(spec | changes))
        return path

    return write


def plan(*specs: Path, **fields: Any) -> ComparisonPlan:
    return make_plan(Request(specs, **fields), get_plugins())


def problems(*specs: Path, **fields: Any) -> str:
    with pytest.raises(UserError) as caught:
        plan(*specs, **fields)
    return str(caught.value)


def test_vanilla_comes_first_and_the_spec_keeps_the_options_of_its_own_distiller(base, tmp_path: Path):
    found = plan(base(distiller={"name": "kd", "temperature": 2.0}), distillers=("dist", "kd"), seeds=(0, 5))
    assert found.labels == ("vanilla", "dist", "kd")
    assert (found.baseline, found.budget, found.teachers) == ("vanilla", None, ())
    assert found.folder == tmp_path / "runs" / "compare-base"
    assert [run.name for run in found.of("kd")] == ["kd-seed0", "kd-seed5"]
    run = found.of("kd")[1]
    assert run.directory.path == found.folder / "runs" / "kd-seed5"
    assert (run.loaded.spec.seed, run.loaded.spec.distiller[0].options["temperature"]) == (5, 2.0)
    # each distiller's own weight of the task loss
    assert [found.of(label)[0].loaded.spec.task.weight for label in found.labels] == [1.0, 1.0, 0.1]


def test_one_spec_alone_is_compared_with_vanilla(base):
    assert plan(base(distiller="kd")).labels == ("vanilla", "kd")
    assert plan(base()).labels == ("vanilla",)


def test_a_student_that_cannot_learn_alone_is_not_added(base):
    without = {"task": {"kind": "none"}, "distiller": "kd"}
    found = plan(base(**without), distillers=("kd", "dist"))
    assert (found.labels, found.baseline) == (("kd", "dist"), None)
    encoder = {**TEACHER, "classifier": False}
    found = plan(base(student=encoder, teacher=encoder, distiller="rkd"), distillers=("rkd", "pkt"))
    assert (found.labels, found.baseline) == (("rkd", "pkt"), None)


def test_all_are_those_that_are_installed(base):
    names = {item.entry.name for item in get_plugins().all(DistillerEntry)}
    found = plan(base(), distillers=("all",))
    assert set(found.labels) == names
    assert found.labels[0] == "vanilla"


def installed_are(monkeypatch: pytest.MonkeyPatch, distillers: list[Any]) -> None:
    """These are all distillers that are installed."""
    everything = get_plugins().all
    monkeypatch.setattr(
        get_plugins(), "all", lambda kind: distillers if kind is DistillerEntry else everything(kind)
    )


@pytest.fixture
def other_baseline(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a second distiller that trains without a teacher, of a plugin."""
    core = get_plugins().find(DistillerEntry, "vanilla", "")
    entry = replace(core.entry, name="alone")
    added = kdcore.Provided(entry, replace(core.plugin, name="kd-alone", distribution="kd-alone"))
    found = get_plugins().find
    installed_are(monkeypatch, [added, *ALL])
    monkeypatch.setattr(
        get_plugins(),
        "find",
        lambda kind, name, where: added if name == "alone" else found(kind, name, where),
    )
    return "alone"


def test_the_baseline_is_known_by_its_kind(base, other_baseline: str):
    assert plan(base(distiller="kd")).baseline == "vanilla"  # the core's goes first
    found = plan(base(), distillers=(other_baseline, "kd"))
    assert (found.labels, found.baseline) == (("alone", "kd"), "alone")
    assert plan(base(distiller=other_baseline)).labels == ("alone",)
    both = plan(base(), distillers=("kd", other_baseline, "vanilla"))
    assert (both.labels, both.baseline) == (("kd", "alone", "vanilla"), "vanilla")


def test_of_all_distillers_those_that_cannot_work_here_are_left_out(base, monkeypatch):
    def check(loaded, plugins):
        if loaded.spec.distiller[0].name == "ofa":
            raise UserError(Problem("distiller", "it cannot"))
        return SimpleNamespace(warnings=())

    monkeypatch.setattr(preflight, "check", check)
    found = plan(base(), distillers=("all",))
    assert "ofa" not in found.labels
    assert "ofa is left out: distiller: it cannot" in found.notes
    assert problems(base(), distillers=("kd", "ofa")) == "ofa: distiller: it cannot"


def test_without_a_teacher_nothing_is_left_to_compare(base, monkeypatch):
    monkeypatch.setattr(preflight, "check", CHECK)
    baseline = get_plugins().find(DistillerEntry, "vanilla", "")
    installed_are(monkeypatch, [*ALL[:3], baseline])
    text = problems(base(teacher=None), distillers=("all",))
    assert "teacher" in text
    assert ALL[0].entry.name in text


def test_every_unknown_distiller_is_told_at_once_and_nothing_is_made(base, tmp_path: Path):
    text = problems(base(), distillers=("kdd", "kd", "distt"))
    assert text.count("--distillers: there is no distiller of this name") == 2
    assert "did you mean 'kd'?" in text
    assert "did you mean 'dist'?" in text
    assert not (tmp_path / "runs").exists()


def test_what_is_wrong_with_the_spec_is_told_once(base):
    text = problems(base(student={"model": "resnet81"}), distillers=("kd", "dkd"))
    assert text.count("resnet81") == 1
    text = problems(base(), distillers=("kd", "dkd"), overrides=("train.epochs=0",))
    assert text.startswith("train.epochs (--set train.epochs=0)")


def test_several_specs_are_methods_by_their_names(base):
    one, two = base("one", distiller="kd"), base("two", distiller={"name": "kd", "temperature": 1.0})
    found = plan(one, two)
    assert (found.labels, found.baseline, found.name) == (("one", "two"), None, "comparison")
    assert plan(one, two, baseline="two").baseline == "two"
    assert plan(one, base("three")).baseline == "three"
    assert "did you mean 'two'?" in problems(one, two, baseline="tow")
    assert "each spec has its own distiller" in problems(one, two, distillers=("kd",))
    assert "two methods" in problems(one, base("same", name="one"))


def test_the_cache_and_the_teacher_are_shared_and_vanilla_has_no_cache(base, tmp_path: Path):
    base("big", teacher=None, student=TEACHER)
    path = base(teacher={"run": "big.json"}, teacher_cache={"augmentations": 2})
    found = plan(path, distillers=("kd", "dkd"), output=tmp_path / "else")
    assert [teacher.spec.name for teacher in found.teachers] == ["big"]
    assert found.teachers[0].spec.output == str(tmp_path / "else")
    caches = {run.label: run.loaded.spec.teacher_cache for run in found.runs}
    assert caches["vanilla"] is None
    assert caches["kd"].folder == caches["dkd"].folder == str(found.folder / "teacher-cache")
    runs = {run.loaded.spec.teacher.run for run in found.runs}
    assert runs == {str(found.folder / "specs" / "teacher-big.json")}


def test_two_teachers_with_one_name_are_refused(base, tmp_path: Path):
    """Their specs would be one file in the comparison's folder: one student would be distilled from the other's."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        base(f"{folder}/teacher", teacher=None, student=TEACHER)
        base(f"{folder}/{folder}", teacher={"run": "teacher.json"}, distiller="kd")
    given = tmp_path / "a" / "a.json", tmp_path / "b" / "b.json"
    text = problems(*given, name="both")
    first, second = (tmp_path / folder / "runs" / "teacher" for folder in ("a", "b"))
    assert f"two teachers have this name: the runs in {first} and in {second}" in text
    assert "another 'name'" in text
    base("b/teacher", name="other", teacher=None, student=TEACHER)
    assert [one.spec.name for one in plan(*given, name="both").teachers] == ["teacher", "other"]


def test_another_base_spec_is_an_error_that_shows_the_difference_and_more_seeds_are_none(base):
    path = base()
    first = plan(path, distillers=("kd",), seeds=(0,))
    for run in first.runs:
        run.directory.path.mkdir(parents=True)
        (run.directory.path / "spec.json").write_text(json.dumps(resolved_dict(run.loaded)))
    assert len(plan(path, distillers=("kd", "dkd"), seeds=(0, 1)).runs) == 6
    text = problems(
        path,
        distillers=("kd",),
        seeds=(0,),
        overrides=("optimizer.lr=0.5", "data.workers=1", "train.epochs=3"),
    )
    assert "optimizer.lr: " in text
    assert "has another value: 0.05 there, 0.5 here" in text
    assert "workers" not in text
    assert text.count("0.5 here") == 1  # though vanilla and kd both have it
    # a longer run is another run here: its schedule is
    text = problems(path, distillers=("kd",), seeds=(0,), overrides=("train.epochs=3",))
    assert "train.epochs: " in text
    assert "2 there, 3 here" in text
    text = problems(base(distiller={"name": "kd", "temperature": 9.0}), distillers=("kd",), seeds=(0,))
    assert text.startswith("kd: distiller.temperature: ")


def test_a_folder_that_is_a_run_is_no_comparison(base, tmp_path: Path):
    folder = tmp_path / "runs" / "taken"
    folder.mkdir(parents=True)
    (folder / "spec.json").write_text("{}")
    assert "directory of a run" in problems(base(), name="taken")
    assert "this cannot be the name of a folder" in problems(base(), name="a/b")


def test_a_budget_needs_the_same_epochs(base):
    one, two = base("one"), base("two", train={"epochs": 3, "batch_size": 20})
    assert "different train.epochs" in problems(one, two, budget="auto")
    assert plan(one, base("three"), budget="1", eta=2).budget == Budget((1,), 2)


FILE = """
spec = "base.json"
seeds = [4, 2]
distillers = ["kd"]
budget = [1]
eta = 2
reports = true

[[variants]]
label = "kd-t=2"
distiller = {name = "kd", temperature = 2.0}
set = {"optimizer.lr" = 0.1}
"""


def test_a_comparison_file(base, tmp_path: Path):
    base()
    path = tmp_path / "some.toml"
    path.write_text(FILE)
    assert is_comparison(path)
    request = read_comparison(path)
    found = make_plan(request, get_plugins())
    assert found.labels == ("vanilla", "kd-t=2", "kd")
    assert found.reports
    assert not make_plan(replace(request, reports=False), get_plugins()).reports
    assert (found.name, found.seeds, found.budget) == ("some", (4, 2), Budget((1,), 2))
    specs = {run.label: run.loaded.spec for run in found.runs}
    assert (specs["kd-t=2"].optimizer.lr, specs["kd"].optimizer.lr) == (0.1, 0.05)
    assert [run.name for run in found.of("kd-t=2")] == ["kd-t-2-seed4", "kd-t-2-seed2"]
    assert specs["kd-t=2"].distiller[0].options["temperature"] == 2.0
    changed = replace(request, overrides=("optimizer.lr=0.3",))
    specs = {run.label: run.loaded.spec for run in make_plan(changed, get_plugins()).runs}
    assert (specs["kd-t=2"].optimizer.lr, specs["kd"].optimizer.lr) == (0.1, 0.3)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"speck": 1}, "did you mean 'spec'?"),
        ({"seeds": 0}, "at least one seed"),
        ({"seeds": [1, 1]}, "different from the others"),
        ({"spec": "nope.json"}, "there is no file"),
        ({"variants": [{"label": "a b"}]}, "variants[0].label"),
        ({"variants": [{"label": "x", "distiler": "kd"}]}, "did you mean 'distiller'?"),
        ({"eta": 1}, "2 or more"),
        ({"reports": "yes"}, "reports"),
    ],
)
def test_a_wrong_comparison_file(base, tmp_path: Path, change: dict[str, Any], told: str):
    base()
    path = tmp_path / "some.json"
    path.write_text(json.dumps({"spec": "base.json", **change}))
    with pytest.raises(UserError) as caught:
        read_comparison(path)
    assert told in str(caught.value)


def test_only_some_methods_of_a_file_are_run_and_the_folder_is_the_same(base, tmp_path: Path):
    base()
    file = tmp_path / "methods.toml"
    file.write_text(
        "spec = 'base.json'\ndistillers = ['kd', 'dkd']\nbaseline = 'hot'\n"
        "[[variants]]\nlabel = 'hot'\ndistiller = {name = 'kd', temperature = 8.0}\n"
    )
    request = read_comparison(file)
    whole = make_plan(request, get_plugins())
    some = make_plan(replace(request, only=("dkd", "kd")), get_plugins())
    assert (some.labels, some.baseline, some.folder) == (("kd", "dkd"), None, whole.folder)
    assert make_plan(replace(request, only=("hot",)), get_plugins()).baseline == "hot"
    with pytest.raises(UserError) as caught:
        make_plan(replace(request, only=("hat", "kd"), baseline="hut"), get_plugins())
    assert [(one.where, one.value, one.nearest) for one in caught.value.problems] == [
        ("--only", "hat", "hot"),
        ("--baseline", "hut", "hot"),
    ]
    with pytest.raises(UserError, match="--only"):
        make_plan(replace(request, only=()), get_plugins())


def test_mistakes_in_variants_name_them(base, tmp_path: Path):
    base()
    path = tmp_path / "some.json"
    variants = [
        {"label": "a", "distiller": {"name": "kd", "temprature": 1}},
        {"label": "b", "set": {"student.model": "resnet81"}},
    ]
    path.write_text(json.dumps({"spec": "base.json", "variants": variants}))
    with pytest.raises(UserError) as caught:
        make_plan(read_comparison(path), get_plugins())
    first, second = (str(problem) for problem in caught.value.problems)
    assert first.startswith("a: distiller.temprature")
    assert "did you mean 'temperature'?" in first
    assert second.startswith("b: student.model")


@pytest.mark.parametrize(("text", "seeds"), [("3", (0, 1, 2)), ("4,1", (4, 1)), ("5,", (5,)), ("1", (0,))])
def test_seeds(text: str, seeds: tuple[int, ...]):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "0", "x", "1,1", "-1", "1,-2"])
def test_wrong_seeds(text: str):
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)


# -- a spec made in Python -----------------------------------------------------------------------------------


def planned(monkeypatch: pytest.MonkeyPatch, spec: Any, **given: Any) -> ComparisonPlan:
    """The plan that `kd_compare.compare` makes; nothing is run."""
    monkeypatch.setattr(api, "Runner", lambda plan, *_: SimpleNamespace(run=lambda: plan))
    return kd_compare.compare(spec, quiet=True, **given)  # type: ignore[return-value]


def test_a_dict_means_what_a_file_in_the_current_folder_means(base, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base("big", name="big")
    spec = json.loads(base(name="pair", teacher={"run": "big.json"}, output="here").read_text())
    given = {"distillers": ["kd"], "seeds": [0], "overrides": ["distiller=vanilla"]}
    of_dict = planned(monkeypatch, spec, **given)
    of_file = planned(monkeypatch, "base.json", **given)
    assert [resolved_dict(run.loaded) for run in of_dict.runs] == [
        resolved_dict(run.loaded) for run in of_file.runs
    ]
    assert of_dict.folder == tmp_path / "here" / "compare-pair"
    assert of_dict.teachers[0].spec.name == "big"


def test_a_run_spec_means_what_its_file_means(base, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base("big", name="big")
    path = base(name="pair", teacher={"run": "big.json"}, output="here", distiller="kd")
    spec = kdcore.RunSpec.model_validate(json.loads(path.read_text()))
    assert spec.task.weight is None  # each distiller's own
    of_spec = planned(monkeypatch, spec, seeds=[0])
    of_file = planned(monkeypatch, "base.json", seeds=[0])
    assert of_spec.labels == ("vanilla", "kd")
    assert [resolved_dict(run.loaded) for run in of_spec.runs] == [
        resolved_dict(run.loaded) for run in of_file.runs
    ]
    assert of_spec.folder == tmp_path / "here" / "compare-pair"


def test_a_dict_without_a_name_is_called_run(base, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert planned(monkeypatch, json.loads(base().read_text()), seeds=1).name == "compare-run"


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ({"spec": "base.json", "variants": []}, "a dict is one run spec"),
        ({"student": {"model": "resnet10t"}, "distiller": "kd", "seed": float("nan")}, "seed"),
        ({"student": {"model": "resnet10t"}, "distiller": "no-such"}, "no-such"),
        ({1: 2}, "a key must be text"),
    ],
)
def test_a_wrong_dict_is_told_as_a_wrong_file_is(monkeypatch, spec: dict[Any, Any], told: str):
    with pytest.raises(UserError, match=told):
        planned(monkeypatch, spec)

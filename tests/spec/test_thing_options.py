"""Options of plugins' models and datasets: checked with the spec, and filled in."""

from __future__ import annotations

import pytest

from kdcore.entries import ModelEntry
from kdcore.errors import UserError
from kdcore.spec.load import load_spec
from kdcore.spec.resolve import arguments, resolve_options


def test_defaults_are_filled_in(plugins, write, good):
    spec = good(
        student={"model": "wide", "options": {"width": 5}},
        teacher={"model": "kd-toys/wide"},
        data={"dataset": "drawn"},
    )
    loaded = load_spec(write(spec), plugins=plugins).spec
    assert loaded.student.options == {"width": 5, "sizes": [3, 4]}
    assert loaded.teacher.options == {"width": 2, "sizes": [3, 4]}
    assert loaded.data.options == {"shape": "round"}


def test_what_a_run_directory_says_is_not_said_again(plugins, write, good, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "weights.pth").touch()
    for teacher, found in (
        ({"model": "wide", "checkpoint": "run"}, {}),
        ({"model": "wide", "checkpoint": "weights.pth"}, {"width": 2, "sizes": [3, 4]}),
    ):
        loaded = load_spec(write(good(teacher=teacher)), plugins=plugins).spec
        assert loaded.teacher.options == found
    spec = good(teacher={"model": "wide", "run": "teacher.json", "options": {"widht": 3}})
    write(good(student={"model": "wide"}, teacher=None, distiller="still"), "teacher.json")
    assert load_spec(write(spec), plugins=plugins).spec.teacher.options == {"widht": 3}


def test_wrong_ones_are_told_at_once(problems_of, good):
    found = problems_of(
        good(
            student={"model": "wide", "options": {"widht": 5, "sizes": "3", "num_classes": 4}},
            teacher={"model": "wide", "options": {"width": 0}},
            data={"dataset": "drawn", "options": {"shape": "rouind", "colour": 1}},
        )
    )
    assert found["student.options.widht"].message == "model 'wide' has no key 'widht'"
    assert (found["student.options.widht"].nearest, found["student.options.widht"].allowed) == (
        "width",
        "sizes, width",
    )
    assert found["student.options.sizes"].message == "a list of whole numbers is wanted, not text"
    assert found["student.options.num_classes"].message == "this is not an option"
    assert found["teacher.options.width"].message == "it must be 1 or more"
    assert found["data.options.shape"].nearest == "round"
    assert found["data.options.colour"].message == "dataset 'drawn' has no key 'colour'"
    assert len(found) == 6


def test_datasets_without_options(problems_of, good):
    found = problems_of(good(data={"dataset": "pictures", "options": {"a": 1, "b": 2}}))
    assert {where: problem.message for where, problem in found.items()} == {
        "data.options.a": "dataset 'pictures' has no options",
        "data.options.b": "dataset 'pictures' has no options",
    }
    found = problems_of(good(data={"dataset": "torch/cifar10", "options": {"a": 1}}))
    assert (
        "only tables, datasets 'hfds/...' and datasets of plugins have options"
        in found["data.options"].message
    )


@pytest.mark.parametrize(
    ("model", "cause"),
    [
        ("lax", "spec_toys.options:LaxOptions accepts unknown keys; derive it from kdcore.Options"),
        ("lost", "its options, spec_toys.options:Absent, cannot be loaded"),
    ],
)
def test_mistakes_of_the_plugin(problems_of, good, model, cause):
    (problem,) = problems_of(good(student={"model": model})).values()
    assert problem.where == "student.options"
    assert problem.message.startswith(f"model '{model}' of plugin kd-toys 1.2.3: ")
    assert cause in problem.message


def test_arguments_are_the_values_themselves(plugins):
    options = resolve_options(plugins.find(ModelEntry, "wide", "x"), {"sizes": [1]}, plugins, "x")
    assert arguments(options) == {"width": 2, "sizes": (1,)}
    assert resolve_options(plugins.find(ModelEntry, "toynet", "x"), {"any": 1}, plugins, "x") is None
    with pytest.raises(UserError, match=r"x\.width"):
        resolve_options(plugins.find(ModelEntry, "wide", "x"), {"width": "wide"}, plugins, "x")

"""Models of plugins that describe themselves."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest
import torch
from torch import nn

from kdcore import ModelDescription, ModelEntry, Options, UserError, hookimpl
from kdcore.options import SpecFile, SpecFolder
from kdcore.plugins import Plugins
from kdcore.plugins.records import Candidate
from kdcore.spec.load import load_dict, resolved_dict


class PathOptions(Options):
    """Two paths, of which one may be missing."""

    path: SpecFile
    extra: SpecFolder | None = None


class Described(nn.Linear):
    """A net with the description that the test sets."""

    said = ModelDescription()

    def __init__(self, num_classes, in_chans, **options):
        super().__init__(in_chans, num_classes or 5)
        self.kd_description = self.said


def refusing(num_classes, in_chans):
    raise UserError(sys.modules["described_under_test"].problem)


@pytest.fixture
def home(monkeypatch):
    home, plugin = ModuleType("described_under_test"), ModuleType("plugin_described")
    home.Described, home.PathOptions, home.refusing = Described, PathOptions, refusing

    @hookimpl
    def kd_models():
        return [
            ModelEntry("described", "A net.", "described_under_test:Described"),
            ModelEntry("refusing", "None.", "described_under_test:refusing"),
            ModelEntry(
                "file", "A net.", "described_under_test:Described", "described_under_test:PathOptions"
            ),
        ]

    plugin.kd_models = kd_models
    for module in (home, plugin):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return home


@pytest.fixture
def known(home) -> Plugins:
    return Plugins.discover(
        [Candidate("nets", "plugin_described", "nets", "1", "x")], disabled=(), strict=True
    )


@pytest.fixture
def make(monkeypatch, known, build):
    def call(said, **arguments):
        monkeypatch.setattr(Described, "said", said)
        return build("described", known=known, **arguments)

    return call


def problem(call):
    with pytest.raises(UserError) as caught:
        call()
    (only,) = caught.value.problems
    return only


def test_loaded_weights_are_not_random_and_the_input_is_the_models_own(make):
    said = ModelDescription(
        has_weights=True, mean=(0.1, 0.2, 0.3), std=(0.5,) * 3, image_size=(48, 40), class_names=("a", "b")
    )
    built = make(said, teacher=True, image_size=None, fallback_size=32)
    assert not built.random_weights
    assert (built.input.mean, built.input.std, built.input.image_size) == (
        (0.1, 0.2, 0.3),
        (0.5,) * 3,
        (48, 40),
    )
    assert built.class_names == ("a", "b")
    assert make(said, teacher=True, image_size=64).input.image_size == (64, 64)


def test_without_a_size_of_its_own_it_takes_the_students_images(make):
    built = make(ModelDescription(), teacher=True, image_size=None, fallback_size=40)
    assert built.random_weights
    assert built.input.image_size == (40, 40)


def test_grey_images_have_the_mean_of_the_colours(make):
    said = ModelDescription(mean=(0.1, 0.2, 0.3), std=(0.5,) * 3)
    assert make(said, in_chans=1).input.mean == pytest.approx((0.2,))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_fixed_size_is_kept(make, device):
    said = ModelDescription(image_size=(48, 48), fixed_size=True)
    found = problem(lambda: make(said, teacher=True, image_size=64, device=device))
    assert (found.where, found.value) == ("teacher.image_size", "64")
    assert "48x48" in found.message
    assert problem(lambda: make(said, image_size=64)).where == "data.image_size"


@pytest.mark.parametrize(("classes", "text"), [(7, "knows 7 classes"), (0, "has no classifier")])
def test_another_number_of_classes(make, classes, text):
    said = ModelDescription(num_classes=classes, place="options.path")
    found = problem(lambda: make(said, teacher=True))
    assert found.where == "teacher.options.path"
    assert text in found.message
    (warning,) = make(said).warnings
    assert text in warning
    assert "initial values" in warning
    assert make(said, teacher=True, num_classes=0).warnings == ()


def test_a_checkpoint_brings_its_own_classifier(make, tmp_path):
    said = ModelDescription(num_classes=7, place="options.path")
    weights = nn.Linear(3, 10).state_dict()
    torch.save(weights, tmp_path / "net.pt")
    built = make(said, teacher=True, checkpoint=str(tmp_path / "net.pt"))
    assert torch.equal(built.model.weight, weights["weight"])
    assert built.warnings == ()


def test_its_warnings_are_those_of_the_run(make):
    said = ModelDescription(warnings=("no file",), place="options.path")
    assert make(said).warnings == ("student.options.path: no file",)


@pytest.mark.parametrize("wrong", [{"mean": (0.1,)}, {"fixed_size": True}])
def test_a_wrong_description_is_refused(wrong):
    with pytest.raises(ValueError, match="ModelDescription"):
        ModelDescription(**wrong)


@pytest.mark.parametrize(
    ("given", "where"),
    [("options.path", "teacher.options.path"), ("", "teacher.model"), ("teacher.x", "teacher.x")],
)
def test_a_targets_problem_gets_its_place_in_the_spec(known, home, build, given, where):
    from kdcore import Problem

    home.problem = Problem(given, "no")
    assert problem(lambda: build("refusing", teacher=True, known=known)).where == where


def spec(**options):
    return {
        "data": {"dataset": "digits", "image_size": 32},
        "student": {"model": "nets/file", "options": options},
        "distiller": "vanilla",
    }


def test_a_path_among_the_options_is_relative_to_the_spec(tmp_path, known, monkeypatch):
    (tmp_path / "net.bin").touch()
    loaded = load_dict(spec(path="net.bin", extra="."), base=tmp_path, plugins=known)
    assert loaded.spec.student.options == {"path": str(tmp_path / "net.bin"), "extra": str(tmp_path)}
    again = load_dict(resolved_dict(loaded), base=tmp_path / "elsewhere", plugins=known)
    assert again.spec.student.options == loaded.spec.student.options


@pytest.mark.parametrize(("options", "key", "what"), [
    ({"path": "net.bim"}, "path", "file"),
    ({"path": "folder"}, "path", "file"),
    ({"path": "net.bin", "extra": "net.bin"}, "extra", "folder"),
])  # fmt: skip
def test_a_path_that_leads_nowhere_is_a_problem_with_the_spec(tmp_path, known, options, key, what):
    (tmp_path / "net.bin").touch()
    (tmp_path / "folder").mkdir()
    found = problem(lambda: load_dict(spec(**options), base=tmp_path, plugins=known))
    assert found.where == f"student.options.{key}"
    assert f"there is no {what}" in found.message
    assert found.value == options[key]


def test_only_teachers_may_be_models_that_cannot_be_trained(monkeypatch, known, tmp_path):
    from kdcore.run.preflight import check

    monkeypatch.setattr(Described, "said", ModelDescription(trainable=False))
    monkeypatch.setattr(
        Described, "forward", lambda self, images: super(Described, self).forward(images.mean((2, 3)))
    )
    given = spec() | {"student": {"model": "nets/described"}}
    found = problem(lambda: check(load_dict(given, base=tmp_path, plugins=known), known))
    assert found.where == "student.model"
    assert "cannot be trained" in found.message


def test_a_teacher_that_is_trained_first_may_start_from_weights_for_other_classes(
    monkeypatch, known, tmp_path
):
    from kdcore.run.preflight import check

    monkeypatch.setattr(Described, "said", ModelDescription(num_classes=7, has_weights=True))
    monkeypatch.setattr(
        Described, "forward", lambda self, images: super(Described, self).forward(images.mean((2, 3)))
    )
    below = spec() | {"name": "teacher", "student": {"model": "nets/described"}}
    (tmp_path / "teacher.json").write_text(json.dumps(below), "utf-8")
    student = spec() | {
        "teacher": {"run": "teacher.json"},
        "student": {"model": "resnet10t"},
    }
    loaded = load_dict(student, base=tmp_path, plugins=known)
    checked = check(loaded, known)
    assert not any("knows 7 classes" in line for line in checked.warnings)


def test_a_teacher_without_parameters_is_not_folded():
    from kdcore import Distillation

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("digest", torch.zeros(1))

        def forward(self, images):
            return images.mean((2, 3)) @ torch.ones(3, 4)

    class Student(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(3, 4)

        def forward(self, images):
            return self.fc(images.mean((2, 3)))

    distillation = Distillation(Student(), Fixed(), "vanilla", num_classes=4, image_size=8)
    assert distillation.teacher_passes["teacher"].fold() == 0

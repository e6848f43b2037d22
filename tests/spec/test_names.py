import pytest

from kdcore.plugins import Plugins
from kdcore.spec.names import check_model, check_optimizer, check_scheduler, resolve_model


@pytest.mark.parametrize(
    "name",
    [
        "resnet34", "resnet34.a1_in1k", "timm/resnet18", "tv_resnet50", "toynet", "kd-toys/toynet", "kd-toys/resnet18",
    ],
)  # fmt: skip
def test_known_models(plugins, name):
    assert check_model(name, "student.model", plugins) == []


@pytest.mark.parametrize(
    ("name", "near", "words"),
    [
        ("resnet81", "resnet18", "neither timm nor a plugin"),
        ("ResNet34", "resnet34", "neither timm"),
        ("toynett", "toynet", "neither timm"),
        ("zzzzzz", None, "timm's 13"),
        ("resnet18", None, "timm and a plugin both"),
        ("kd-toys/toynett", "toynet", "has no model"),
        ("absent/net", None, "not installed"),
        ("weights/model.pth", None, "checkpoint"),
        ("./model", None, "this is a path"),
        ("https:x", None, "this is a location"),
        ("local-dir:student", None, "checkpoint"),
    ],
)
def test_unknown_models(plugins, name, near, words):
    (problem,) = check_model(name, "student.model", plugins)
    assert problem.where == "student.model"
    assert problem.nearest == near
    assert words in str(problem)


def test_an_ambiguous_model_names_both_spellings(plugins):
    (problem,) = check_model("resnet18", "x", plugins)
    assert problem.allowed == "timm/resnet18, kd-toys/resnet18"


@pytest.mark.parametrize(
    ("name", "tagged"),
    [
        ("resnet18", "resnet18"),
        ("timm/resnet18", "resnet18"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("tv_resnet50", "resnet50.tv_in1k"),  # an old name, which timm still takes
    ],
)
def test_models_of_timm_are_resolved(name, tagged):
    assert (
        resolve_model(name, "student.model", Plugins.discover([], disabled=(), strict=True)).tagged == tagged
    )


def test_an_unknown_tag(plugins):
    (problem,) = check_model("resnet34.a1_in2k", "student.model", plugins)
    assert problem.where == "student.model"
    assert problem.message == "resnet34 has no weights with the tag 'a1_in2k'"
    assert problem.nearest == "a1_in1k"
    assert "tv_in1k" in problem.allowed


@pytest.mark.parametrize("name", ["sgd", "AdamW", "lookahead_adam", "Lookahead_SGD", "nesterov"])
def test_known_optimizers(name):
    assert list(check_optimizer(name, "optimizer.name")) == []


@pytest.mark.parametrize(
    ("name", "near"),
    [("adamm", "adam"), ("lookahead_adamm", "lookahead_adam"), ("foo_adam", "adam"), ("zzzzzz", None)],
)
def test_unknown_optimizers(name, near):
    (problem,) = check_optimizer(name, "optimizer.name")
    assert problem.nearest == near


def test_optimizers_of_packages_that_are_not_installed(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (problem,) = check_optimizer("bnblion", "optimizer.name")
    assert "bitsandbytes" in problem.message


def test_schedulers():
    assert list(check_scheduler("cosine", "x")) == list(check_scheduler("none", "x")) == []
    (problem,) = check_scheduler("cosin", "scheduler.name")
    assert problem.nearest == "cosine"
    assert "multistep" in problem.allowed


@pytest.mark.parametrize("name", ["adahessian", "lookahead_AdaHessian"])
def test_optimizers_of_second_order(name):
    (problem,) = check_optimizer(name, "optimizer.name")
    assert (problem.where, problem.value) == ("optimizer.name", name)
    assert "second derivatives" in problem.message
    assert "adamw" in problem.hint


@pytest.mark.parametrize(("name", "remedy"), [
    ("kron", "pip install opt_einsum"),
    ("fusedadam", "github.com/NVIDIA/apex"),
    ("bnblion", "pip install bitsandbytes"),
])  # fmt: skip
def test_optimizers_of_packages_say_how_to_get_them(monkeypatch, name, remedy):
    monkeypatch.setattr("importlib.util.find_spec", lambda package: None)
    (problem,) = check_optimizer(name, "optimizer.name")
    assert remedy in problem.hint

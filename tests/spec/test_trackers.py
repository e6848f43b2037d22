from kdcore.spec.models import RunSpec
from kdcore.spec.trackers import check_trackers, missing_libraries


def trackers(*given):
    return RunSpec(student={"model": "resnet18"}, distiller="kd", trackers=given).trackers


def test_names_and_objects():
    found = trackers("tensorboard", {"name": "wandb", "project": "ours"})
    assert [(item.name, item.options) for item in found] == [
        ("tensorboard", {}),
        ("wandb", {"project": "ours"}),
    ]
    assert RunSpec(student={"model": "resnet18"}, distiller="kd", trackers="aim").trackers[0].name == "aim"
    assert not list(check_trackers(found))


def test_an_unknown_name():
    (problem,) = check_trackers(trackers("wandb", "tensorbord"))
    assert (problem.where, problem.value, problem.nearest) == ("trackers[1]", "tensorbord", "tensorboard")
    assert "mlflow" in problem.allowed


def test_a_name_twice():
    (problem,) = check_trackers(trackers("wandb", {"name": "wandb", "project": "ours"}))
    assert (problem.where, problem.message) == ("trackers[1]", "this tracker is named twice")


def test_missing_libraries(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorboardX")
    found = list(missing_libraries(trackers("tensorboard", "comet_ml", "mlflow")))
    assert [problem.hint for problem in found] == ["pip install comet-ml", "pip install mlflow"]
    assert [problem.where for problem in found] == ["trackers[1]", "trackers[2]"]

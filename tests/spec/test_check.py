"""What types do not tell: names, files, and values that do not go together."""

import pytest


def test_every_kind_of_name(good, problems_of):
    spec = good(
        student={"model": "resnet43", "adapter": "toylayer"},
        teacher={"model": "vit_tiny_patch16_242", "adapter": "none"},
        distiller="toyy",
        data={"dataset": "picture"},
        optimizer={"name": "sgdd"},
        scheduler={"name": "cosin"},
    )
    found = problems_of(spec)
    assert {where: problem.nearest for where, problem in found.items()} == {
        "student.model": "resnet34",
        "student.adapter": "toylayers",
        "teacher.model": "vit_tiny_patch16_224",
        "teacher.adapter": None,
        "distiller": "toy",
        "data.dataset": "pictures",
        "optimizer.name": "sgd",
        "scheduler.name": "cosine",
    }


def test_distillers_by_object_and_in_a_list(good, problems_of):
    assert list(problems_of(good(distiller={"name": "toyy"}))) == ["distiller.name"]
    found = problems_of(good(distiller=["toyy", {"name": "kd-toys/no"}], task={"weight": 1}))
    assert list(found) == ["distiller[0]", "distiller[1].name"]


def test_a_plugin_whose_options_cannot_be_used(good, problems_of):
    found = problems_of(good(distiller=["unloadable", {"name": "raising", "weight": 2}], task={"weight": 1}))
    assert "kd-toys 1.2.3" in found["distiller[0]"].message
    assert "spec_toys.absent" in found["distiller[0]"].message
    assert "kd-toys/raising 1.2.3 failed: RuntimeError: a bug" in found["distiller[1]"].message


def test_files(good, problems_of, tmp_path):
    (tmp_path / "weights.safetensors").write_bytes(b"")
    (tmp_path / "taken").write_text("")
    found = problems_of(
        good(
            student={"model": "resnet34", "checkpoint": "weight.safetensors"},
            teacher={"checkpoint": "weights.safetensors"},
            output="taken/runs",
        )
    )
    assert set(found) == {"student.checkpoint", "teacher.model", "output"}
    assert found["student.checkpoint"].nearest == str(tmp_path / "weights.safetensors")
    assert str(tmp_path / "taken") in found["output"].message


def test_the_run_directory_is_no_file(good, problems_of, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "mine").write_text("")
    assert list(problems_of(good(name="mine"))) == ["name"]


def test_reserved_options(good, problems_of):
    options = {"num_classes": 10, "in_chans": 3, "pretrained": True, "drop_path_rate": 0.1}
    found = problems_of(good(student={"model": "resnet34", "options": options}))
    assert set(found) == {f"student.options.{name}" for name in ("num_classes", "in_chans", "pretrained")}
    assert "comes from the data" in found["student.options.num_classes"].hint
    assert "data.channels" in found["student.options.in_chans"].hint


@pytest.mark.parametrize(
    ("sections", "where", "words"),
    [
        ({"distiller": ["toy", "still"]}, "task.weight", "several distillers"),
        ({"distiller": "still", "task": {"weight": 0}}, "task.weight", "nothing is left"),
        (
            {"distiller": {"name": "toy", "weight": 0}, "task": {"weight": 0.0}},
            "task.weight",
            "nothing is left",
        ),
        ({"data": {"mixup": 0.2}, "train": {"batch_size": 7}}, "train.batch_size", "data.mixup"),
        ({"data": {"cutmix": 1}, "train": {"batch_size": 1}}, "train.batch_size", "data.cutmix"),
        ({"scheduler": {"warmup_epochs": 30}}, "scheduler.warmup_epochs", "train.epochs = 30"),
        (
            {"scheduler": {"cooldown_epochs": 2}, "train": {"epochs": 2}},
            "scheduler.cooldown_epochs",
            "train.epochs = 2",
        ),
    ],
)
def test_what_does_not_go_together(good, problems_of, sections, where, words):
    found = problems_of(good(**sections))
    assert list(found) == [where]
    assert words in found[where].message


@pytest.mark.parametrize(
    ("teacher", "where"),
    [
        ({"model": "resnet34", "pretrained": True, "checkpoint": "x"}, "teacher"),
        ({"run": "x.json", "pretrained": True}, "teacher"),
        ({"small_input": True}, "teacher"),
    ],
)
def test_sources_of_weights_exclude_each_other(good, problems_of, teacher, where):
    assert list(problems_of(good(teacher=teacher))) == [where]

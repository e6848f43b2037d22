"""kd-teachers with the methods: a saved model of transformers and kd's own ONNX export teach students of timm."""

from __future__ import annotations

import json

import pytest
import torch

import kdcore
from kdcore import UserError

pytest.importorskip("kd_teachers", reason="kd-teachers is not installed")

SIDE = 32
DATA = {"dataset": "digits", "image_size": SIDE, "train_samples": 40, "workers": 0}
STUDENT = {"model": "mobilenetv2_050", "options": {"drop_rate": 0.0}}
TRAIN = {"epochs": 1, "batch_size": 20}


@pytest.fixture
def folder(tmp_path):
    """A tiny random ViT that transformers saved, next to the spec."""
    transformers = pytest.importorskip("transformers")
    from kd_teachers.transformers_model import quiet

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=SIDE, patch_size=8, hidden_size=16, num_hidden_layers=4, num_attention_heads=2,
        intermediate_size=32, num_labels=10,
    )  # fmt: skip
    with quiet(transformers):
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": SIDE, "width": SIDE}}
    (tmp_path / "vit/preprocessor_config.json").write_text(json.dumps(said))
    return tmp_path


def write(folder, name="spec", **changes):
    spec = {"data": DATA, "student": STUDENT, "train": TRAIN, "output": "runs", **changes}
    file = folder / f"{name}.json"
    file.write_text(json.dumps(spec))
    return file


def losses(result, name):
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    return [value for line in lines for key, value in json.loads(line).items() if name in key]


@pytest.mark.parametrize(
    "distiller",
    ["kd", {"name": "fitnet", "stages": [[3, 2]]},
     {"name": "fitnet", "stages": [[3, "vit.layers.1"]]}],
    ids=["kd", "fitnet", "fitnet-path"],
)  # fmt: skip
def test_a_saved_vit_of_transformers_teaches_mobilenet(folder, distiller, monkeypatch, capsys):
    away = folder / "away"
    away.mkdir()
    monkeypatch.chdir(away)
    teacher = {"model": "transformers", "options": {"path": "vit"}}
    result = kdcore.run(write(folder, teacher=teacher, distiller=distiller))
    assert result.summary["status"] == "finished"
    assert "random" not in capsys.readouterr().err
    again = json.loads((result.directory / "spec.json").read_text())
    assert again["teacher"]["options"]["path"] == str(folder / "vit")


def test_a_run_directorys_spec_repeats_the_run(folder, tmp_path):
    teacher = {"model": "transformers", "options": {"path": "vit"}}
    first = kdcore.run(write(folder, teacher=teacher, distiller="kd"))
    second = kdcore.run(first.directory / "spec.json", output=tmp_path / "other")
    assert losses(first, "loss") == losses(second, "loss")


def test_a_missing_folder_is_a_problem_before_training(folder):
    teacher = {"model": "transformers", "options": {"path": "vti"}}
    with pytest.raises(UserError) as caught:
        kdcore.run(write(folder, teacher=teacher, distiller="kd"))
    (problem,) = caught.value.problems
    assert (problem.where, problem.value) == ("teacher.options.path", "vti")
    assert problem.nearest == str(folder / "vit")


def test_a_class_names_difference_is_at_its_path(folder):
    config = json.loads((folder / "vit/config.json").read_text())
    names = ["zero", *map(str, range(1, 10))]
    config["id2label"] = dict(enumerate(names))
    (folder / "vit/config.json").write_text(json.dumps(config))
    teacher = {"model": "transformers", "options": {"path": "vit"}}
    data = folder / "images"
    from PIL import Image

    for split in ("train", "test"):
        for label in range(10):
            (data / split / str(label)).mkdir(parents=True)
            Image.new("RGB", (SIDE, SIDE)).save(data / split / str(label) / "0.png")
    spec = write(folder, teacher=teacher, distiller="kd", data={**DATA, "dataset": "images", "train_samples": None},
                 train={"epochs": 1, "batch_size": 10})  # fmt: skip
    with pytest.raises(UserError) as caught:
        kdcore.run(spec)
    (problem,) = caught.value.problems
    assert problem.where == "teacher.options.path"
    assert "zero" in problem.message


@pytest.mark.parametrize("method", ["kd", "fitnet"])
def test_an_onnx_file_cannot_be_a_student_nor_give_features(folder, method):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    make = onnx.helper
    kind, out = onnx.TensorProto.FLOAT, ["b", 10]
    nodes = [make.make_node("GlobalAveragePool", ["x"], ["p"]), make.make_node("Flatten", ["p"], ["f"]),
             make.make_node("Gemm", ["f", "w"], ["y"])]  # fmt: skip
    weights = make.make_tensor("w", kind, [3, 10], [0.1] * 30)
    taken, given = (
        make.make_tensor_value_info("x", kind, ["b", 3, SIDE, SIDE]),
        make.make_tensor_value_info("y", kind, out),
    )
    graph = make.make_graph(nodes, "net", [taken], [given], [weights])
    onnx.save(
        make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8), folder / "net.onnx"
    )
    model = {"model": "onnx", "options": {"path": "net.onnx"}}
    if method == "kd":
        spec = write(folder, student=model, teacher=None, distiller="vanilla")
        where, text = "student.model", "cannot be trained"
    else:
        spec = write(folder, teacher=model, distiller="fitnet")
        where, text = "", "an ONNX file has no stages"
    with pytest.raises(UserError) as caught:
        kdcore.run(spec)
    assert where in caught.value.problems[0].where
    assert text in caught.value.problems[0].message


@pytest.mark.filterwarnings("ignore")
def test_kds_onnx_export_teaches_as_the_live_teacher(tmp_path):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    export = pytest.importorskip("kd_export").export
    small = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
    steady = {"student": small, "optimizer": {"name": "sgd", "lr": 0.01}}
    trained = kdcore.run(write(tmp_path, "teacher", **steady, distiller="vanilla"))
    export(trained.directory, "onnx", output=tmp_path / "exported")
    runs = []
    for name, given in (
        ("live", {"checkpoint": str(trained.directory), "fold": False}),
        ("onnx", {"model": "onnx", "options": {"path": "exported/model.onnx"}}),
    ):
        runs.append(kdcore.run(write(tmp_path, name, **steady, teacher=given, distiller="kd")))
    live, exported = (losses(run, "loss") for run in runs)
    assert len(live) >= 2
    assert exported == pytest.approx(live, abs=1e-5)
    teachers = [run.summary["teacher"]["top1"] for run in runs]
    assert teachers[0] == teachers[1]


def test_a_model_of_transformers_is_trained_and_teaches_in_turn(folder):
    vit = {"model": "transformers", "options": {"path": "vit"}}
    small = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}}
    trained = kdcore.run(write(folder, "vit-student", student=vit, teacher=small, distiller="kd"))
    student = kdcore.load_student(trained.directory)
    assert type(student.model).__name__ == "ViTForImageClassification"
    written = json.loads((trained.directory / "student/config.json").read_text())
    assert written["kdcore"]["options"]["path"] == str(folder / "vit")
    again = kdcore.run(
        write(folder, "again", student=small, teacher={"checkpoint": str(trained.directory)}, distiller="kd")
    )
    assert again.summary["teacher"]["top1"] == pytest.approx(trained.summary["student"]["top1"])


def test_as_an_encoder_it_teaches_embeddings_whatever_its_classes_are(folder):
    config = json.loads((folder / "vit/config.json").read_text())
    config["id2label"] = {str(number): f"other {number}" for number in range(10)}
    (folder / "vit/config.json").write_text(json.dumps(config))
    teacher = {"model": "transformers", "options": {"path": "vit"}, "classifier": False}
    result = kdcore.run(write(folder, teacher=teacher, distiller="rkd"))
    assert result.summary["status"] == "finished"


def test_its_outputs_can_be_cached(folder):
    teacher = {"model": "transformers", "options": {"path": "vit"}}
    cache = {"augmentations": 1}
    live = kdcore.run(write(folder, "live", teacher=teacher, distiller="kd", teacher_cache=cache))
    cached = kdcore.run(write(folder, "cached", teacher=teacher, distiller="kd", teacher_cache=cache))
    assert losses(live, "loss") == pytest.approx(losses(cached, "loss"), rel=1e-4)


def test_a_torchvision_model_teaches_features_by_module_paths(tmp_path):
    teacher = {"model": "torchvision", "options": {"name": "resnet18"}}
    distiller = {"name": "fitnet", "stages": [[3, "layer3"]]}
    result = kdcore.run(write(tmp_path, teacher=teacher, distiller=distiller))
    assert result.summary["status"] == "finished"

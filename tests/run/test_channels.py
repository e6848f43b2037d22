"""Teacher and student with other channels of the same images: trained, measured, opened again and exported."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import kdcore
from kdcore import open_run
from kdcore.data.inputs import InputConfig
from kdcore.distill.model_images import ModelImages
from kdcore.errors import RunFailed, UserError
from kdcore.inspect import open_run_student
from kdcore.models import load_student

SMALL = {"model": "resnet10t", "small_input": True, "options": {"channels": [4, 4, 8, 8]}}
RANDOM = np.random.default_rng(0)


def write(folder, channels, count=12):
    """Arrays `[H, W, C]`, or colour PNGs for three channels; the classes differ in brightness."""
    for split in ("train", "test"):
        for number in range(count):
            file = folder / split / "ab"[number % 2] / f"{number}"
            file.parent.mkdir(parents=True, exist_ok=True)
            shape = (20, 24, channels)
            pixels = RANDOM.integers(60 * (number % 2), 150 + 60 * (number % 2), shape, dtype=np.uint8)
            if channels == 3:
                Image.fromarray(pixels).save(f"{file}.png")
            else:
                np.save(f"{file}.npy", pixels)
    return folder


def spec(folder, **changes):
    made = {
        "name": "run",
        "output": str(folder / "runs"),
        "data": {"dataset": str(folder), "image_size": 16, "workers": 0},
        "student": SMALL,
        "teacher": {**SMALL, "options": {"channels": [8, 8, 8, 8]}},
        "distiller": "kd",
        "train": {"epochs": 1, "batch_size": 6},
        "report": False,
    }
    for key, value in changes.items():
        merged = isinstance(made.get(key), dict) and isinstance(value, dict)
        made[key] = {**made[key], **value} if merged else value
    return made


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    """A student of four channels, whose teacher sees the first three."""
    folder = write(tmp_path_factory.mktemp("four"), 4)
    data = {"channels": 4, "augment": {"crop": "resized", "random_erasing": 0.5}, "in_memory": True}
    made = spec(folder, data=data, teacher={"channels": [0, 1, 2], "image_size": 24})
    return folder, kdcore.run(made)


@pytest.fixture(scope="module")
def grey(tmp_path_factory):
    """A grey student under a teacher in colour."""
    folder = write(tmp_path_factory.mktemp("grey"), 3)
    mean, std = [0.2, 0.5, 0.6], [0.2, 0.3, 0.25]
    made = spec(folder, data={"mean": mean, "std": std}, student={"channels": "grey"})
    return folder, kdcore.run(made)


def test_the_models_have_their_channels(four, grey):
    for (_, result), student, teacher in ((four, 4, 3), (grey, 1, 3)):
        config = json.loads((result.directory / "student" / "config.json").read_text())
        assert config["pretrained_cfg"]["input_size"] == [student, 16, 16]
        assert len(config["pretrained_cfg"]["mean"]) == student
        opened = open_run(result.directory)
        assert next(opened.student.model.parameters()).shape[1] == student
        assert next(opened.teacher.model.model.parameters()).shape[1] == teacher
        assert load_student(result.directory).config.in_chans == student


def test_the_run_is_measured_again(four, grey):
    for _, result in (four, grey):
        opened = open_run(result.directory, device="cpu")
        student, teacher = opened.predictions
        for found, said in ((student, result.summary["student"]), (teacher, result.summary["teacher"])):
            right = (found.logits.argmax(dim=1) == found.target).double().mean()
            assert 100 * float(right) == pytest.approx(said["top1"])


def test_grey_is_pillows_up_to_rounding(grey):
    folder, result = grey
    files = sorted(folder.glob("test/*/*.png"))
    alone = open_run_student(result.directory).predictor().predict_proba(files)
    opened = open_run(result.directory, device="cpu")
    names = [opened.images.chosen.key(index) for index in range(len(files))]
    order = [names.index(file.relative_to(folder).as_posix()) for file in files]
    logits = opened.predictions[0].logits[order]
    assert np.abs(logits.softmax(dim=1).numpy() - alone).max() < 0.02


def test_arrays_and_files_are_predicted_alike(four):
    folder, result = four
    files = sorted(folder.glob("test/*/*.npy"))[:3]
    student = open_run_student(result.directory)
    assert student.in_chans == 4
    predictor = student.predictor()
    wanted = predictor.predict_proba([np.load(file) for file in files])
    assert (predictor.predict_proba(files) == wanted).all()
    with pytest.raises(RunFailed, match=r"it has 3 channels, and data\.channels is 4"):
        predictor.predict([np.zeros((9, 9, 3), np.uint8)])


def test_a_student_of_some_channels_reads_them_alone(tmp_path):
    folder = write(tmp_path, 5)
    made = spec(
        folder,
        data={"bands": [4, 2, 0], "eval_samples": 4},
        student={"channels": [1, 0]},
        teacher=None,
        distiller="vanilla",
    )
    student = open_run_student(kdcore.run(made).directory)
    assert (student.spec.data.bands, student.in_chans) == ((2, 4), 2)
    assert next(student.model.parameters()).shape[1] == 2
    files = sorted(folder.glob("test/*/*.npy"))[:2]
    assert student.predictor().predict_proba(files).shape == (2, 2)


def test_channels_are_chosen_from_normalised_images():
    images = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    given = InputConfig(8, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (given.mean, given.std))
    seen = ModelImages(given, InputConfig(8, (0.7, 0.8), (0.9, 0.3)), (2, 0))((images - mean) / std)
    wanted = (images[:, [2, 0]] - torch.tensor([0.7, 0.8]).view(-1, 1, 1)) / torch.tensor([0.9, 0.3]).view(
        -1, 1, 1
    )
    torch.testing.assert_close(seen, wanted, rtol=1e-5, atol=1e-6)
    seen = ModelImages(given, InputConfig(8, (0.7,), (0.9,)), "grey")((images - mean) / std)
    weights = torch.tensor([0.299, 0.587, 0.114], dtype=torch.float64).view(-1, 1, 1)
    torch.testing.assert_close(
        seen, ((weights * images).sum(1, keepdim=True) - 0.7) / 0.9, rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        (
            {"teacher": {"channels": [0, 4]}},
            "teacher.channels",
            "the images have 4 channels, 0 to 3, and not 4",
        ),
        ({"student": {"channels": "grey"}}, "student.channels", "'grey' is computed from RGB"),
        ({"student": {"channels": "gray"}}, "student.channels", "'grey', or a list of channels from 0"),
        ({"student": {"channels": []}}, "student.channels", "'grey', or a list of channels from 0"),
        ({"data": {"channels": 4, "augment": {"hue": 0.1}}}, "data.augment.hue", "it changes colours"),
        ({"data": {"channels": 4, "mean": [0.1, 0.2]}}, "data.mean", "2 numbers, and data.channels is 4"),
        ({"data": {"channels": 2, "bands": [0, 1, 2]}}, "data.channels", "data.bands names 3"),
        ({"data": {"channels": 4, "value_range": [1, 1]}}, "data.value_range", "the smaller first"),
        ({"data": {"channels": 0}}, "data.channels", "1"),
    ],
)
def test_specs_that_do_not_fit(tmp_path, changes, where, message):
    made = spec(write(tmp_path, 4, count=2), **{"data": {"channels": 4}, **changes})
    if "data" in changes:
        made["data"] = {**made["data"], **changes["data"]}
    with pytest.raises(UserError) as caught:
        kdcore.run(made)
    assert [problem.where for problem in caught.value.problems] == [where]
    assert message in str(caught.value)


def test_other_channels_than_the_spec_says_name_the_file(tmp_path):
    folder = write(tmp_path, 4, count=6)
    np.save(folder / "train" / "a" / "0.npy", np.zeros((20, 24, 5), np.uint8))
    made = spec(folder, data={"channels": 4}, teacher=None, distiller="vanilla")
    with pytest.raises(
        RunFailed, match=r"train/a/0\.npy: it has 5 channels, and data.channels is 4"
    ) as caught:
        kdcore.run(made)
    assert caught.value.exit_code == 2
    skipping = kdcore.run({**made, "name": "skips", "data": {**made["data"], "skip_broken": True}})
    assert skipping.summary["skipped"]["train"] == 1


def test_a_teacher_from_a_run_keeps_its_channels(tmp_path):
    folder = write(tmp_path, 4, count=6)
    below = spec(folder, name="teacher", student={"channels": [0, 1, 2]}, teacher=None, distiller="vanilla")
    below["data"]["channels"] = 4
    (tmp_path / "teacher.json").write_text(json.dumps(below))
    made = spec(folder, data={"channels": 4}, teacher=None)
    made["teacher"] = {"run": str(tmp_path / "teacher.json")}
    result = kdcore.run(made)
    teacher = open_run(result.directory).teacher.model
    assert next(teacher.model.parameters()).shape[1] == 3
    # with other images it has to be said
    made = {**made, "name": "other", "data": {**made["data"], "bands": [0, 1, 2, 3]}}
    with pytest.raises(
        UserError, match=r"teacher.channels: its weights take images of 3 channels, and it gets 4"
    ):
        kdcore.run(made)
    made["teacher"] = {**made["teacher"], "channels": [1, 2, 3]}
    assert kdcore.run(made).summary["teacher"]["top1"] is not None


@pytest.mark.parametrize("in_chans", [1, 4])
def test_a_checkpoint_for_rgb_is_adapted_as_timm_does(tmp_path, in_chans):
    import timm
    from safetensors.torch import save_file
    from timm.models import adapt_input_conv

    from kdcore.models import build_model
    from kdcore.plugins import get_plugins
    from kdcore.spec.models import ModelSource

    rgb = timm.create_model("resnet10t", num_classes=2, channels=(4, 4, 8, 8))
    save_file(rgb.state_dict(), tmp_path / "rgb.safetensors")
    source = ModelSource(
        model="resnet10t", options={"channels": [4, 4, 8, 8]}, checkpoint=str(tmp_path / "rgb.safetensors")
    )
    built = build_model(
        source, num_classes=2, in_chans=in_chans, image_size=32, plugins=get_plugins(), where="student"
    )
    wanted = adapt_input_conv(in_chans, rgb.state_dict()["conv1.0.weight"])
    assert torch.equal(built.model.state_dict()["conv1.0.weight"], wanted)
    assert any("its first layer is for RGB" in warning for warning in built.warnings)


@pytest.mark.parametrize("which", ["four", "grey"])
def test_an_export_takes_what_the_student_takes(which, tmp_path, request):
    pytest.importorskip("kd_export")
    from kdcore.cli import main
    from kdcore.inspect import open_export

    folder, result = request.getfixturevalue(which)
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["export", str(result.directory), "--to", "torch", "--output", str(tmp_path / "out")])
    exported = open_export(tmp_path / "out")
    student = open_run_student(result.directory)
    assert exported.about["input"]["shape"][1] == student.in_chans
    files = sorted(folder.glob("test/*/*.*"))[:4]
    found = exported.predictor().predict_proba(files)
    assert np.abs(found - student.predictor().predict_proba(files)).max() < 0.02

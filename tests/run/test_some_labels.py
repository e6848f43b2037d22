"""Runs whose training images have a label only in part."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from kdcore import UserError, run, validate

pytest.importorskip("sklearn", reason="the digits need scikit-learn")

SMALL = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16], "stem_width": 8}}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder of digits, and the rows of a table of them: 48 to train on, and 24 to evaluate on; 6 in `more`."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    rows = []
    (folder / "more").mkdir()
    for number in range(78):
        pixels = (found.images[number] * 15.9).astype("uint8")
        name = f"{number}.png" if number < 72 else f"more/{number}.png"
        Image.fromarray(pixels).resize((16, 16)).save(folder / name)
    for number in range(72):
        rows.append((f"{number}.png", str(found.target[number]), "train" if number < 48 else "test"))
    return folder, rows


@pytest.fixture
def make_spec(digits, tmp_path):
    """`make_spec(labelled=..., **changes)`: a spec whose first `labelled` training images have a label."""
    folder, rows = digits

    def write(labelled=16, name="some", **changes):
        lines = ["path,label,split"]
        for number, (path, label, split) in enumerate(rows):
            known = split == "test" or number < labelled
            lines.append(f"{path},{label if known else ''},{split}")
        table = tmp_path / f"{name}.csv"
        table.write_text("\n".join(lines) + "\n")
        data = {"dataset": str(table), "root": str(folder), "image_size": 16, "workers": 0, "num_classes": 10}
        return {
            "name": name,
            "output": str(tmp_path / "runs"),
            "data": {**data, **changes.pop("data", {})},
            "teacher": SMALL,
            "student": SMALL,
            "distiller": "kd",
            "train": {"epochs": 1, "batch_size": 8, **changes.pop("train", {})},
            "optimizer": {"lr": 0.01},
            **changes,
        }

    return write


def test_validate_says_how_many_have_a_label(make_spec):
    found = validate(make_spec())
    assert found.lines()[0].startswith("data     48 images of 16x16, 16 of them with a label, 10 classes")
    assert found.as_dict()["train_labelled"] == 16
    assert "label" not in validate(make_spec(labelled=48)).lines()[0]


@pytest.mark.filterwarnings("ignore")
def test_a_resumed_run_with_a_fixed_share_is_equal_to_the_bit(make_spec, digits, monkeypatch):
    """With more images, balanced classes, a cache of the teacher, and distillers that skip, correct and compare."""
    monkeypatch.setenv("KD_NO_REPORT", "1")
    changes = {
        "data": {"labelled_fraction": 0.5, "sampling": "balanced", "unlabelled": str(digits[0] / "more")},
        "distiller": ["kd", {"name": "dkd", "weight": 0.5}, "dist", {"name": "kd", "correct": "swap"}],
        "task": {"weight": 1.0},
        "train": {"epochs": 2, "batch_size": 6},
        "teacher_cache": {"augmentations": 1},
    }
    whole = run(make_spec(labelled=8, name="whole", **changes), quiet=True)
    run(make_spec(labelled=8, name="halved", **changes), quiet=True, until=1)
    halved = run(make_spec(labelled=8, name="halved", **changes), quiet=True)
    about = whole.summary["data"]
    assert (about["train_size"], about["train_labelled"]) == (54, 8)
    weights, others = (load_file(one.directory / "student" / "model.safetensors") for one in (whole, halved))
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    # 3 labelled of 6 images in each of 9 batches
    hits = whole.metrics[0]["train"]["top1"] * 27 / 100
    assert hits == pytest.approx(round(hits))
    assert set(whole.metrics[0]["terms"]) >= {"kd.kd", "dkd.tckd", "dkd.nckd", "kd_2.kd"}


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"data": {"mixup": 0.2}}, "data.mixup", "only some of the training images have a label"),
        ({"data": {"train_samples": 20}}, "data.train_samples", "only 16 of 48 training images have a label"),
        (
            {"data": {"labelled_fraction": 0.01}},
            "data.labelled_fraction",
            "of a batch of 8 images none would",
        ),
        ({"data": {"unlabelled": "nothing"}}, "data.unlabelled", "there is no folder, tar, zip or table"),
        ({"data": {"options": {"weight": "w"}}}, "data.options.weight", "it is for data.sampling 'weights'"),
        (
            {"data": {"eval_split": "train"}},
            "data.eval_split",
            "only 16 of 48 evaluation images have a label",
        ),
        ({"distiller": "norm"}, "distiller", "'norm' needs the label of every training image"),
    ],
)
def test_what_does_not_go_with_it(make_spec, changes, where, message):
    with pytest.raises(UserError) as caught:
        validate(make_spec(**changes))
    (found,) = caught.value.problems
    assert (found.where, message in found.message) == (where, True), found

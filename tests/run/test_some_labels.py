"""Runs whose training images have a label only in part."""

from __future__ import annotations

import pytest

from kdcore import UserError, run, validate

pytest.importorskip("sklearn", reason="the digits need scikit-learn")

SMALL = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16], "stem_width": 8}}


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """A folder of digits, and the rows of a table of them: 48 to train on, and 24 to evaluate on."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    found = load_digits()
    rows = []
    for number in range(72):
        pixels = (found.images[number] * 15.9).astype("uint8")
        Image.fromarray(pixels).resize((16, 16)).save(folder / f"{number}.png")
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


@pytest.mark.filterwarnings("ignore")
def test_a_run_learns_from_all_and_counts_the_labelled(make_spec, monkeypatch):
    monkeypatch.setenv("KD_NO_REPORT", "1")
    done = run(make_spec(), quiet=True)
    assert (done.summary["data"]["train_size"], done.summary["data"]["train_labelled"]) == (48, 16)
    record = done.metrics[0]
    assert record["train"]["top1"] * 16 / 100 == pytest.approx(round(record["train"]["top1"] * 16 / 100))
    assert record["task_loss"] > 0
    assert record["terms"]["kd"] > 0


def test_validate_says_how_many_have_a_label(make_spec):
    found = validate(make_spec())
    assert found.lines()[0].startswith("data     48 images of 16x16, 16 of them with a label, 10 classes")
    assert found.as_dict()["train_labelled"] == 16
    assert "label" not in validate(make_spec(labelled=48)).lines()[0]


@pytest.mark.parametrize(
    ("changes", "where", "message"),
    [
        ({"data": {"mixup": 0.2}}, "data.mixup", "only some of the training images have a label"),
        ({"data": {"train_samples": 20}}, "data.train_samples", "only 16 of 48 training images have a label"),
        ({"data": {"sampling": "balanced"}}, "data.sampling", "only 16 of 48 training images have a label"),
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

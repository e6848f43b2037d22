"""Training images as the models of a spec will see them, and the page that shows them."""

from __future__ import annotations

import numpy as np
import pytest
from kd_report.data_page import data_page
from PIL import Image

from kdcore.data.inputs import InputConfig
from kdcore.data.transforms import eval_transform
from kdcore.inspect import sample_views
from kdcore.inspect.crop_boxes import evaluated_box
from kdcore.plugins import get_plugins
from kdcore.spec.load import load_dict
from kdcore.spec.models import DataSpec


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Of four images, of which one is broken; the student sees squares of them."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (60, 30), (250, 100 * number, 0)).save(folder / name / f"{number}.png")
    (folder / "cat" / "1.png").write_bytes(b"")
    spec = {
        "data": {
            "dataset": str(folder),
            "train_split": "",
            "eval_split": None,
            "image_size": 24,
            "augment": {"crop": "none", "hflip": 0},
        },
        "teacher": {"model": "test_resnet", "image_size": [32, 64]},
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
    }
    return sample_views(load_dict(spec, base=folder), get_plugins())


def test_each_view_has_the_size_and_the_colours_of_its_model(samples):
    assert [sample.label for sample in samples] == ["cat", "dog", "dog"]  # one cannot be read
    first = samples[0]
    assert {title: view.size for title, view in first.views.items()} == {
        "student, training, epoch 1": (24, 24),
        "student, training, epoch 2": (24, 24),
        "teacher, epoch 1": (64, 32),
        "student, evaluation": (24, 24),
    }
    for view in first.views.values():
        assert np.abs(np.asarray(view, int) - (250, 0, 0)).max() <= 1
    assert first.image.size == (60, 30)
    assert list(first.boxes) == [title for title in first.views if "student" in title]
    for box in first.boxes.values():  # without a random crop training sees what evaluation sees
        assert box == pytest.approx((0.25, 0, 0.75, 1))


@pytest.mark.parametrize("size", [(96, 96), (48, 96)])
@pytest.mark.parametrize("crop", [1.0, 0.8])
@pytest.mark.parametrize("image", [(200, 300), (300, 120)])
def test_the_box_is_what_evaluation_sees(size, crop, image):
    """Each pixel of a picture says where it is: those of the transformed one are within the box."""
    taken = InputConfig(size, (0.0,), (1.0,), "bilinear", crop)
    rows, columns = np.mgrid[0 : image[0], 0 : image[1]]
    pixels = np.stack([columns * 255 / image[1], rows * 255 / image[0], rows * 0], axis=-1)
    steps = eval_transform(DataSpec(crop_pct=crop), taken)
    seen = steps(Image.fromarray(pixels.round().astype(np.uint8)))
    left, top, right, bottom = evaluated_box(image, taken)
    assert seen[0].min().item() == pytest.approx(left, abs=0.03)
    assert seen[0].max().item() == pytest.approx(right, abs=0.03)
    assert seen[1].min().item() == pytest.approx(top, abs=0.03)
    assert seen[1].max().item() == pytest.approx(bottom, abs=0.03)


@pytest.mark.parametrize(
    ("size", "augment"),
    [
        (48, {"crop": "resized", "hflip": 0.5, "vflip": 0.5, "color_jitter": 0}),
        ([32, 64], {"crop": "resized", "scale": [0.1, 0.3], "hflip": 0}),
        (48, {"crop": "pad", "padding": 8, "hflip": 0.5}),
        ([32, 64], {"crop": "pad", "padding": 8, "grayscale": 1e-9}),  # on Pillow's images
    ],
)
def test_the_boxes_are_what_training_sees(augment, size, tmp_path):
    """As above, of the random crops of two epochs."""
    rows, columns = np.mgrid[0:90, 0:120]
    pixels = np.stack([10 + columns * 240 / 119, 10 + rows * 240 / 89, rows * 0 + 255], axis=-1)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(2):
            Image.fromarray(pixels.round().astype(np.uint8)).save(
                tmp_path / "photos" / name / f"{number}.png"
            )
    data = {
        "dataset": "photos",
        "train_split": "",
        "eval_split": None,
        "image_size": size,
        "augment": augment,
    }
    spec = {"data": data, "student": {"model": "test_resnet"}, "distiller": "vanilla"}
    found = sample_views(load_dict(spec, base=tmp_path), get_plugins())
    assert len(found) == 4
    boxes = [(one.views[title], box) for one in found for title, box in one.boxes.items() if "epoch" in title]
    assert len({box for _, box in boxes}) > 4  # they are random
    for view, box in boxes:
        seen = np.asarray(view, float)
        seen = (seen[seen[..., 2] > 200][:, :2] - 10) / 240  # without the padding
        got = (*seen.min(axis=0), *seen.max(axis=0))
        assert got == pytest.approx(box, abs=0.04)


@pytest.mark.parametrize(
    ("empty", "expected"),
    [
        ("none", ["cat", "cat, dog", "none of the labels"]),
        ("unlabelled", ["cat; not known: bird", "cat, dog", "none of the labels"]),
    ],
)
def test_the_labels_of_an_image(empty, expected, tmp_path):
    """The number of a set of labels is no class: its names are told."""
    for number in range(3):
        Image.new("RGB", (16, 16), (80 * number, 0, 0)).save(tmp_path / f"{number}.png")
    table = "path,bird,cat,dog\n0.png,,1,0\n1.png,0,1,1\n2.png,0,0,0\n"
    (tmp_path / "table.csv").write_text(table, encoding="utf-8")
    options = {"labels": "*", "empty": empty}
    data = {"dataset": "table.csv", "train_split": "", "eval_split": None, "image_size": 16}
    spec = {
        "data": {**data, "options": options},
        "task": {"kind": "labels"},
        "student": {"model": "test_resnet"},
        "distiller": "vanilla",
    }
    found = sample_views(load_dict(spec, base=tmp_path), get_plugins())
    assert [one.label for one in found] == expected


def test_the_page_shows_them_and_needs_no_network(samples):
    page = data_page("a<b", ["train    4 images"], samples)
    assert "Images of a&lt;b" in page
    assert page.count("data:image/png;base64,") == 3 * 5
    assert page.count('class="box"') == 3 * 3
    assert "left: 25.0%; top: 0.0%; width: 50.0%; height: 100.0%" in page
    assert "http" not in page.replace("http-equiv", "")

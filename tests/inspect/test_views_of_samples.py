"""Training images as the models of a spec will see them, and the page that shows them."""

from __future__ import annotations

import numpy as np
import pytest
from kd_report.data_page import data_page
from PIL import Image

from kdcore.data.inputs import InputConfig
from kdcore.data.transforms import eval_transform
from kdcore.inspect import sample_views
from kdcore.inspect.views_of_samples import evaluated_box
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
    assert first.box == pytest.approx((0.25, 0, 0.75, 1))


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


def test_the_page_shows_them_and_needs_no_network(samples):
    page = data_page("a<b", ["train    4 images"], samples)
    assert "Images of a&lt;b" in page
    assert page.count("data:image/png;base64,") == 3 * 5
    assert "left: 25.0%; top: 0.0%; width: 50.0%; height: 100.0%" in page
    assert "http" not in page.replace("http-equiv", "")

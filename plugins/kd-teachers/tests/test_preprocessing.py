"""What transformers' files say of images."""

from __future__ import annotations

import pytest
from kd_teachers.preprocessing import read_preprocessing, with_defaults


def test_mean_and_deviation_are_of_images_in_0_to_1():
    found = read_preprocessing({"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5]})
    assert (found.mean, found.std) == ((0.1, 0.2, 0.3), (0.5, 0.5, 0.5))
    plain = read_preprocessing({"do_normalize": False})
    assert (plain.mean, plain.std) == ((0, 0, 0), (1, 1, 1))


def test_other_factors_are_in_mean_and_deviation():
    """EfficientNet's processors give x / 127.5 - 1; some models take 0 to 255."""
    found = read_preprocessing({"do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True})
    assert (found.mean, found.std) == (pytest.approx((0.5,) * 3), pytest.approx((0.5,) * 3))
    raw = read_preprocessing({"do_normalize": False, "do_rescale": False})
    assert (raw.mean, raw.std) == ((0, 0, 0), pytest.approx((1 / 255,) * 3))


@pytest.mark.parametrize(("size", "wanted"), [
    ({"height": 32, "width": 48}, (32, 48)),
    ({"shortest_edge": 40}, (40, 40)),
    (224, (224, 224)),
    (None, None),
])  # fmt: skip
def test_sizes(size, wanted):
    assert read_preprocessing({"size": size}).image_size == wanted


def test_a_crop():
    found = read_preprocessing({"size": {"shortest_edge": 256}, "crop_size": 224, "do_center_crop": True})
    assert (found.image_size, found.crop_pct) == ((224, 224), 0.875)


def test_the_order_of_colours():
    assert read_preprocessing({"do_flip_channel_order": True}).flips_channels
    assert not read_preprocessing({}).flips_channels


def test_a_processor_that_divides_by_the_deviation_twice():
    found = read_preprocessing({"image_mean": [0.1] * 3, "image_std": [0.5] * 3, "include_top": True})
    assert (found.mean, found.std) == ((0.1,) * 3, (0.25,) * 3)


KINDS = ("BeitImageProcessor", "CLIPImageProcessor", "ConvNextImageProcessor", "EfficientNetImageProcessor",
         "LevitImageProcessor", "MobileNetV2ImageProcessor", "MobileViTImageProcessor", "SiglipImageProcessor",
         "ViTImageProcessor")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_pixels_of_an_image_of_one_colour_are_those_of_transformers(kind, tmp_path):
    """With the file that transformers writes, and with one that leaves everything to the class."""
    import json

    import numpy as np

    transformers = pytest.importorskip("transformers", reason="needs kd-teachers[transformers]")
    from kd_teachers.transformers_folder import preprocessing_of

    processor = getattr(transformers, kind)()
    levels = np.array([30, 120, 210], dtype=np.uint8)
    (pixels,) = processor(np.tile(levels, (300, 300, 1)), return_tensors="np")["pixel_values"]
    wanted = pixels[:, 100, 100]
    processor.save_pretrained(tmp_path)
    for content in (
        None,
        json.dumps({"image_processor_type": kind}),
        json.dumps({"feature_extractor_type": kind}),
    ):
        if content is not None:
            (tmp_path / "preprocessor_config.json").write_text(content)
        found = preprocessing_of(tmp_path, transformers)
        given = (levels / 255 - np.array(found.mean)) / found.std
        np.testing.assert_allclose(given[::-1] if found.flips_channels else given, wanted, atol=1e-4)


def test_classes_and_keys_that_are_not_known_have_no_defaults():
    class Library:
        class OwnImageProcessor:
            image_mean = (0.1,) * 3

    assert with_defaults({"image_processor_type": "Other"}, Library) == {"image_processor_type": "Other"}
    given = {"image_processor_type": "OwnImageProcessorFast", "image_mean": None, "size": 4}
    assert with_defaults(given, Library) == {**given, "image_mean": (0.1,) * 3}

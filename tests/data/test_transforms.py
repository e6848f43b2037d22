from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from kdcore.data.inputs import InputConfig
from kdcore.data.keyed_randomness import kept_generators, seed_sample
from kdcore.data.transforms import eval_transform, train_transform
from kdcore.errors import UserError

PLAIN = {"crop": "none", "hflip": 0.0}


def applied(transform, image, key=0):
    with kept_generators():
        seed_sample(key)
        return transform(image)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (80, 72)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "1", "CMYK"])
@pytest.mark.parametrize("crop", ["auto", "resized", "pad", "none"])
def test_shapes(make_data, make_picture, channels, size, mode, crop):
    image = make_picture(0, (40, 30), "L").convert("I;16" if mode == "I;16" else mode)
    config = InputConfig(size, (0.1, 0.2, 0.3), (0.5,), "bilinear", 0.9)
    data = make_data(channels=channels, augment={"crop": crop})
    for transform in (train_transform(data, config), eval_transform(data, config)):
        found = applied(transform, image)
        assert found.shape == (channels, *size)
        assert found.dtype == torch.float32
        assert bool(found.isfinite().all())


def test_normalisation(make_data):
    image = Image.new("RGB", (16, 16), (0, 51, 255))
    config = InputConfig(16, (0.1, 0.2, 0.3), (0.5, 0.25, 0.1))
    data = make_data(augment=PLAIN)
    expected = (
        torch.tensor([(0 - 0.1) / 0.5, (0.2 - 0.2) / 0.25, (1 - 0.3) / 0.1]).view(3, 1, 1).expand(3, 16, 16)
    )
    for transform in (train_transform(data, config), eval_transform(data, config)):
        torch.testing.assert_close(transform(image), expected)


def test_grey(make_data):
    image = Image.new("RGB", (16, 16), (0, 255, 0))
    config = InputConfig(16, (0.2, 0.4, 0.6), (1.0,))
    grey = round(255 * 0.587) / 255  # ITU-R 601-2, as Pillow's
    found = eval_transform(make_data(channels=1), config)(image)
    torch.testing.assert_close(found, torch.full((1, 16, 16), grey - 0.4))


def test_sixteen_bits_are_scaled_not_clipped(make_data):
    image = Image.fromarray(np.full((16, 16), 32768, dtype=np.uint16))
    found = eval_transform(make_data(), InputConfig(16, (0.0,), (1.0,)))(image)
    torch.testing.assert_close(found, torch.full((3, 16, 16), 128 / 255))


def test_palette_with_transparency_warns_nobody(make_data):
    image = Image.new("P", (16, 16))
    image.info["transparency"] = bytes([0] * 256)
    assert eval_transform(make_data(), InputConfig(16, (0.0,), (1.0,)))(image).shape == (3, 16, 16)


def test_evaluation_crops_the_middle(make_data):
    pixels = np.zeros((100, 200), dtype=np.uint8)
    pixels[10:90, 60:140] = 255
    image = Image.fromarray(pixels)
    whole = eval_transform(make_data(crop_pct=1.0), InputConfig(80, (0.0,), (1.0,), "bilinear"))(image)
    middle = eval_transform(make_data(crop_pct=0.8), InputConfig(80, (0.0,), (1.0,), "bilinear"))(image)
    assert float(whole[:, 0].max()) == 0.0  # the shorter side fits: black above the square
    assert float(middle.min()) == 1.0  # 80 of 100 pixels: nothing but the square


def test_height_and_width(make_data):
    """An image of the input's shape stays whole; of another one, what does not fit is cut off at both ends."""
    wide = InputConfig((48, 96), (0.0,), (1.0,), "nearest")
    pixels = np.arange(48 * 96).reshape(48, 96).astype(np.uint8)
    for data in (make_data(), make_data(image_size=[48, 96])):
        assert (eval_transform(data, wide)(Image.fromarray(pixels))[0] * 255 == torch.tensor(pixels)).all()
    square = np.zeros((96, 96), dtype=np.uint8)
    square[24:72] = 255  # the 48 rows in the middle
    assert float(eval_transform(make_data(), wide)(Image.fromarray(square)).min()) == 1.0
    for crop in ("none", "pad", "resized"):
        steps = train_transform(make_data(augment={"crop": crop}), wide)
        assert applied(steps, Image.fromarray(square), 0).shape == (3, 48, 96)


def test_crop_pad_moves_and_fills_with_black(make_data, make_picture):
    config = InputConfig(10, (0.0,), (1.0,))
    image = make_picture(0, (10, 10))
    plain = eval_transform(make_data(), config)(image)
    transform = train_transform(make_data(augment={"crop": "pad", "padding": 3, "hflip": 0.0}), config)
    padded = torch.nn.functional.pad(plain, (3, 3, 3, 3))
    windows = [padded[:, y : y + 10, x : x + 10] for y in range(7) for x in range(7)]
    places = set()
    for key in range(200):
        found = applied(transform, image, key)
        places.add(next(place for place, window in enumerate(windows) if torch.equal(window, found)))
    assert len(places) > 40
    still = train_transform(make_data(augment={"crop": "pad", "padding": 0, "hflip": 0.0}), config)
    assert torch.equal(applied(still, image), plain)


def test_flips(make_data, make_picture):
    config = InputConfig(10, (0.0,), (1.0,))
    image = make_picture(0, (10, 10))
    plain = eval_transform(make_data(), config)(image)
    both = train_transform(make_data(augment={"crop": "none", "hflip": 1.0, "vflip": 1.0}), config)
    assert torch.equal(applied(both, image), plain.flip(1, 2))


def test_resized_crop_follows_scale(make_data, make_picture):
    config = InputConfig(16, (0.0,), (1.0,), "nearest")
    image = make_picture(0, (64, 64))
    tiny = {"crop": "resized", "scale": (0.03, 0.03), "ratio": (1.0, 1.0), "hflip": 0.0}
    found = applied(train_transform(make_data(augment=tiny), config), image)
    # 11 pixels on a side: many of them are seen twice
    assert len({tuple(pixel) for pixel in found.flatten(1).T.tolist()}) < 16 * 16


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "augment",
    [
        {"color_jitter": 0.4},
        {"color_jitter": 0.4, "hue": 0.1, "jitter_probability": 0.8},
        {"color_jitter": 0.4, "grayscale": 0.5},
        {"random_erasing": 1.0},
        *({"auto_augment": policy} for policy in ("original", "3a", "rand-m9-mstd0.5", "augmix-m5-w2-d2")),
    ],
)
def test_augmentations_are_functions_of_the_seed(make_data, make_picture, channels, augment):
    transform = train_transform(
        make_data(channels=channels, augment=PLAIN | augment), InputConfig(16, (0.5,), (1.0,))
    )
    image = make_picture(0, (16, 16))
    found = [applied(transform, image, key) for key in range(12)]
    assert all(torch.equal(applied(transform, image, key), found[key]) for key in range(12))
    assert len({tensor.numpy().tobytes() for tensor in found}) > 4


def test_grey_and_jittered_images_come_with_their_probability(make_data, make_picture):
    image, config = make_picture(0, (16, 16)), InputConfig(16, (0.0,), (1.0,))
    plain = applied(train_transform(make_data(augment=PLAIN), config), image)

    def found(**augment):
        transform = train_transform(make_data(augment=PLAIN | augment), config)
        return [applied(transform, image, key) for key in range(40)]

    grey = [bool((one == one[:1]).all()) for one in found(grayscale=0.3)]
    assert 4 <= sum(grey) <= 20
    assert all(torch.equal(one, plain) for one in found(hue=0.2, jitter_probability=0.0))
    same = [torch.equal(one, plain) for one in found(hue=0.2, color_jitter=0.2, jitter_probability=0.5)]
    assert 10 <= sum(same) <= 30
    assert not any(torch.equal(one, plain) for one in found(hue=0.4))


def test_random_erasing_leaves_the_mean(make_data):
    transform = train_transform(
        make_data(augment=PLAIN | {"random_erasing": 1.0}), InputConfig(32, (0.5,), (1.0,))
    )
    found = applied(transform, Image.new("RGB", (32, 32), "white"))
    assert set(found.unique().tolist()) == {0.0, 0.5}


@pytest.mark.parametrize("policy", ["nonsense", "rand-q9", "augmix-q3"])
def test_unknown_auto_augment(make_data, policy):
    with pytest.raises(UserError, match=r"(?s)data\.augment\.auto_augment: .*allowed: 'original'"):
        train_transform(make_data(augment={"auto_augment": policy}), InputConfig(16, (0.5,), (1.0,)))

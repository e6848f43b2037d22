"""What crops and flips on arrays, and what PIL does, is what torchvision's transforms give, drawn alike."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms import RandomResizedCropAndInterpolation
from torchvision import transforms as tv

from kdcore.data.crop_steps import CropSteps
from kdcore.data.inputs import InputConfig
from kdcore.data.keyed_randomness import kept_generators, seed_sample
from kdcore.data.pixels import PixelRule
from kdcore.data.steps import ArraySteps, ImageSteps, PadCrop, draw_place
from kdcore.data.transforms import eval_transform, train_transform

CONFIG = InputConfig(16, (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
AUGMENTS = [
    {"crop": "pad"},
    {"crop": "pad", "padding": 0, "hflip": 0.1},
    {"crop": "pad", "padding": 3, "vflip": 0.7},
    {"crop": "none"},
    {"crop": "none", "hflip": 0.0},
    {"crop": "resized"},
    {"crop": "pad", "random_erasing": 0.6},
    {"crop": "pad", "color_jitter": 0.4},
    {"crop": "pad", "auto_augment": "rand-m9-mstd0.5"},
    {"crop": "resized", "auto_augment": "augmix-m5-w2-d2", "random_erasing": 0.5},
]


def plain(data, channels):
    """The way that torchvision and timm go."""
    augment = data.augment
    steps = [tv.Lambda(lambda image: image.convert("L" if channels == 1 else "RGB"))]
    if augment.crop == "pad":
        steps += [tv.Resize(16, tv.InterpolationMode.BICUBIC), tv.RandomCrop(16, augment.padding or None)]
    elif augment.crop == "none":
        steps += [tv.Resize(16, tv.InterpolationMode.BICUBIC), tv.CenterCrop(16)]
    steps += [tv.RandomHorizontalFlip(augment.hflip)] * (augment.hflip > 0)
    steps += [tv.RandomVerticalFlip(augment.vflip)] * (augment.vflip > 0)
    mean, std = CONFIG.mean, CONFIG.std
    if channels == 1:
        mean, std = (sum(mean) / 3,), (sum(std) / 3,)
    return tv.Compose([*steps, tv.ToTensor(), tv.Normalize(mean, std)])


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(16, 16), (23, 17), (9, 12)])
@pytest.mark.parametrize("augment", AUGMENTS[:5])
def test_arrays_are_torchvisions_images(make_data, make_picture, channels, size, augment):
    data = make_data(channels=channels, augment=augment, interpolation="bicubic")
    steps, wanted = train_transform(data, CONFIG), plain(data, channels)
    assert isinstance(steps, ArraySteps)
    image = make_picture(0, size)
    for key in range(8):
        with kept_generators():
            seed_sample(key)
            expected = wanted(image)
        with kept_generators():
            seed_sample(key, draws=steps.draws)
            assert torch.equal(steps(image), expected)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
def test_resized_crops_are_timms_up_to_rounding(make_data, channels, interpolation):
    augment = {"crop": "resized", "hflip": 0.5, "vflip": 0.3}
    data = make_data(channels=channels, augment=augment, interpolation=interpolation)
    plain = InputConfig((24, 32), (0.0,) * channels, (1 / 255,) * channels)  # the result has the levels
    steps = train_transform(data, plain)
    assert isinstance(steps, CropSteps) == (interpolation != "nearest")
    crop = RandomResizedCropAndInterpolation((24, 32), interpolation=interpolation)
    way = getattr(Image.Resampling, interpolation.upper())
    flips = tv.Compose([tv.RandomHorizontalFlip(0.5), tv.RandomVerticalFlip(0.3), tv.PILToTensor()])
    shape = (60, 90) if channels == 1 else (60, 90, 3)
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    # a level in the middle between two whole ones may become either
    most, mean = (0, 0.0) if interpolation == "nearest" else (2, 0.45)
    for key in range(30):
        with kept_generators():
            seed_sample(key)
            top, left, height, width = crop.get_params(noise, crop.scale, crop.ratio)
            part = noise.crop((left, top, left + width, top + height))
            # in two calls, because the order of Pillow's own two passes depends on its version
            expected = flips(part.resize((32, height), way).resize((32, 24), way)).float()
            seed_sample(key, draws=steps.draws)
            off = (steps(noise) - expected).abs()
        assert float(off.max()) <= most + 1e-3
        assert float(off.mean()) <= mean + 1e-3


@pytest.mark.parametrize("size", [(1, 1), (300, 1), (1, 300)])
def test_images_of_a_pixel_or_a_line_are_resized(make_data, make_picture, size):
    steps = train_transform(make_data(augment={"crop": "resized"}), CONFIG)
    for key in range(5):
        with kept_generators():
            seed_sample(key)
            assert steps(make_picture(0, size)).shape == (3, 16, 16)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "I;16", "1", "CMYK"])
@pytest.mark.parametrize("augment", AUGMENTS)
def test_what_is_kept_gives_the_same(make_data, make_picture, mode, augment):
    image = make_picture(0, (20, 16), "L").convert("I;16" if mode == "I;16" else mode)
    if mode == "P":
        image.info["transparency"] = bytes(range(256))
    steps = train_transform(make_data(augment=augment), CONFIG)
    kept = np.asarray(steps.fixed(image)).copy()
    kept.setflags(write=False)
    for key in range(3):
        with kept_generators():
            seed_sample(key)
            expected = steps(image)
            seed_sample(key)
            assert torch.equal(steps.normalise(steps.vary(kept)), expected)


@pytest.mark.parametrize("augment", AUGMENTS)
def test_only_the_generators_that_it_names_are_drawn_from(make_data, make_picture, augment):
    steps = train_transform(make_data(augment=augment), CONFIG)
    with kept_generators():
        seed_sample(1)
        state = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
        for _ in range(3):
            steps(make_picture(0, (20, 16)))
        now = {"python": random.getstate(), "numpy": np.random.get_state(), "torch": torch.get_rng_state()}
    drawn = {name for name in state if str(state[name]) != str(now[name])}
    drawn |= set() if torch.equal(state["torch"], now["torch"]) else {"torch"}
    assert drawn <= steps.draws
    assert bool(drawn) == bool(steps.draws)


def test_evaluation_draws_nothing_and_keeps_the_whole_picture(make_data, make_picture):
    steps = eval_transform(make_data(), CONFIG)
    assert not steps.draws
    assert steps.fixed(make_picture(0, (40, 30))).shape == (3, 16, 16)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pad_crop(make_picture, mode):
    image, theirs = make_picture(0, (14, 11), mode), tv.RandomCrop((12, 10), padding=4)
    for key in range(30):
        with kept_generators():
            seed_sample(key)
            expected = theirs(image)
            seed_sample(key)
            found = PadCrop((12, 10), 4)(image)
        assert (found.mode, found.tobytes()) == (expected.mode, expected.tobytes())


def test_a_crop_that_does_not_fit_is_torchvisions_error():
    with pytest.raises(ValueError, match=r"crop size \(9, 4\) is larger than input image size \(8, 8\)"):
        draw_place((6, 6), (9, 4), 1)


def test_grey_arrays_warn_nobody(make_picture):
    # Pillow's own memory is not to be written to
    steps = ImageSteps(PixelRule(1), [], [], frozenset(), lambda images: images, None)
    assert steps(make_picture(0, (5, 4), "L")).shape == (1, 4, 5)
    assert steps.vary(Image.new("L", (5, 4))).is_contiguous()


@pytest.mark.parametrize("augment", AUGMENTS[:7])
def test_each_channel_is_a_grey_image(make_data, augment):
    """Of a tensor, each channel is cropped and flipped as a grey image of its values is."""
    planes = np.random.default_rng(0).integers(0, 256, (5, 16, 20), dtype=np.uint8)
    data = make_data(channels=5, augment=augment, interpolation="nearest")
    grey = make_data(channels=1, augment=augment, interpolation="nearest")
    steps, alone = train_transform(data, CONFIG), train_transform(grey, CONFIG)
    assert steps.draws == alone.draws
    for key in range(4):
        with kept_generators():
            seed_sample(key)
            found = steps(planes.transpose(1, 2, 0))
            for channel, plane in enumerate(planes):
                seed_sample(key)
                if augment["crop"] == "resized":  # Pillow and torch choose other neighbours
                    assert found.shape[1:] == alone(Image.fromarray(plane)).shape[1:]
                else:
                    torch.testing.assert_close(found[channel], alone(Image.fromarray(plane))[0])


def test_pad_crop_of_tensors(make_picture):
    image = make_picture(0, (14, 11))
    planes = torch.from_numpy(np.asarray(image).transpose(2, 0, 1).copy())
    for key in range(30):
        with kept_generators():
            seed_sample(key)
            expected = PadCrop((12, 10), 4)(image)
            seed_sample(key)
            assert (PadCrop((12, 10), 4)(planes).numpy() == np.asarray(expected).transpose(2, 0, 1)).all()

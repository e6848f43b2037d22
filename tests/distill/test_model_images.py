from __future__ import annotations

import torch

from kdcore.data import InputConfig
from kdcore.distill.model_images import ModelImages, stretched

IMAGENET = InputConfig((32, 32), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = InputConfig((32, 32), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def _normalised(images: torch.Tensor, config: InputConfig) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (config.mean, config.std))
    return (images - mean) / std


def test_the_teacher_sees_its_own_mean_and_deviation():
    images = torch.rand(4, 3, 32, 32)
    seen = ModelImages(IMAGENET, HALVES)(_normalised(images, IMAGENET))
    torch.testing.assert_close(seen, _normalised(images, HALVES))


def test_equal_inputs_need_nothing():
    assert ModelImages(IMAGENET, IMAGENET).identity
    assert not ModelImages(IMAGENET, HALVES).identity


def test_a_larger_input_is_resized_without_changing_flat_images():
    larger = InputConfig((48, 64), HALVES.mean, HALVES.std)
    flat = torch.rand(2, 3, 1, 1).expand(2, 3, 32, 32)
    seen = ModelImages(IMAGENET, larger)(_normalised(flat, IMAGENET))
    assert seen.shape == (2, 3, 48, 64)
    torch.testing.assert_close(
        seen, _normalised(flat, larger)[..., :1, :1].expand_as(seen), atol=1e-5, rtol=1e-5
    )


def test_one_channel():
    one, other = InputConfig((8, 8), (0.2,), (0.4,)), InputConfig((8, 8), (0.5,), (0.1,))
    images = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(ModelImages(one, other)((images - 0.2) / 0.4), (images - 0.5) / 0.1)


def test_its_numbers_are_in_no_state():
    assert ModelImages(IMAGENET, HALVES).state_dict() == {}


def test_nothing_is_said_about_inputs_of_one_shape():
    for size in ((32, 32), (224, 224), (100, 101)):
        assert stretched(IMAGENET, InputConfig(size, HALVES.mean, HALVES.std), "teacher") == ()


def test_a_stretched_input_is_a_warning_with_the_size_that_keeps_the_shape():
    wide = InputConfig((48, 96), HALVES.mean, HALVES.std)
    square = InputConfig((224, 224), HALVES.mean, HALVES.std)
    (line,) = stretched(wide, square, "teacher[1]")
    assert line.startswith("teacher[1]: its input is 224x224, the student's 48x96: the images are stretched")
    assert "teacher[1].image_size [224, 448] keeps their shape" in line

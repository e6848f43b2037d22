from __future__ import annotations

import pytest
import timm
import torch

from kdcore import UserError
from kdcore.models.position_grids import size_option

TINY_VIT = {"depth": 1, "embed_dim": 24, "num_heads": 3}
TINY_SWIN = {"depths": [1, 1, 1, 1], "embed_dim": 12, "num_heads": [1, 2, 2, 2]}
FAMILIES = [
    ("vit_tiny_patch16_224", TINY_VIT, 96),
    ("deit_tiny_distilled_patch16_224", TINY_VIT, 224),
    ("deit3_small_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 3}, 160),
    ("beit_base_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 3}, 96),
    ("mixer_s32_224", {}, 128),
    ("swin_tiny_patch4_window7_224", TINY_SWIN, 224),
    ("eva02_tiny_patch14_224", {"depth": 1, "embed_dim": 48, "num_heads": 2}, 112),
    ("cait_xxs24_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}, 96),
    ("gmlp_ti16_224", {}, 96),
]


def saved(tmp_path, name, options, size):
    tuples = {key: tuple(v) if isinstance(v, list) else v for key, v in options.items()}
    model = timm.create_model(name, num_classes=10, img_size=size, **tuples)
    torch.save({"state_dict": {f"model.{k}": v for k, v in model.state_dict().items()}}, tmp_path / "w.pth")
    return str(tmp_path / "w.pth")


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("name", "options", "size"), FAMILIES, ids=[name for name, *_ in FAMILIES])
def test_the_size_is_read_from_the_file(tmp_path, build, name, options, size, device):
    checkpoint = saved(tmp_path, name, options, size)
    built = build(
        name,
        teacher=True,
        image_size=None,
        fallback_size=64,
        device=device,
        options=options,
        checkpoint=checkpoint,
    )
    assert built.input.image_size == (size, size)
    assert built.warnings == ()


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_another_size_is_a_warning_with_both(tmp_path, build, role):
    checkpoint = saved(tmp_path, "vit_tiny_patch16_224", TINY_VIT, 224)
    built = build(
        "vit_tiny_patch16_224",
        teacher=role == "teacher",
        image_size=96,
        options=TINY_VIT,
        checkpoint=checkpoint,
    )
    option = {"teacher": "teacher.image_size", "student": "data.image_size"}[role]
    assert built.input.image_size == (96, 96)
    assert built.warnings == (
        f"{role}.checkpoint: its weights were trained at 224x224, the model runs at 96x96: position embeddings are "
        f"resized (pos_embed [1, 197, 24] -> [1, 37, 24]). {option} 224 keeps them",
    )


def test_weights_that_depend_on_no_size_say_none(tmp_path, build):
    model = timm.create_model("test_resnet", num_classes=10)
    torch.save(model.state_dict(), tmp_path / "w.pth")
    built = build(
        "test_resnet", teacher=True, image_size=None, fallback_size=48, checkpoint=str(tmp_path / "w.pth")
    )
    assert built.input.image_size == (48, 48)
    assert built.warnings == ()


def test_the_same_size_says_nothing(tmp_path, build):
    checkpoint = saved(tmp_path, "vit_tiny_patch16_224", TINY_VIT, 64)
    built = build("vit_tiny_patch16_224", image_size=64, options=TINY_VIT, checkpoint=checkpoint)
    assert not [line for line in built.warnings if "resized" in line]


def test_weights_of_another_shape_of_input_say_what_to_set(tmp_path, build):
    checkpoint = saved(tmp_path, "vit_tiny_patch16_224", TINY_VIT, (48, 96))
    given = {"teacher": True, "options": TINY_VIT, "checkpoint": checkpoint, "fallback_size": 32}
    with pytest.raises(UserError, match="for 18 patches, which is not a square") as caught:
        build("vit_tiny_patch16_224", image_size=None, **given)
    assert "set teacher.image_size to the [height, width] of its training" in str(caught.value)
    assert build("vit_tiny_patch16_224", image_size=(48, 96), **given).input.image_size == (48, 96)


def test_the_option_for_the_size_of_each_model():
    assert size_option("student") == "data.image_size"
    assert size_option("teacher[1]") == "teacher[1].image_size"
    assert size_option("model") == "--image-size"

"""Encoders of the shapes of DINOv2 and CLIP teach a ResNet without a classifier on images without labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file

import kdcore

pytest.importorskip("kd_feature")
TINY = {"embed_dim": 32, "depth": 4, "num_heads": 2, "patch_size": 8}
DINO = {"model": "vit_small_patch14_dinov2", "options": TINY, "classifier": False, "image_size": 40}
CLIP = {"model": "vit_base_patch32_clip_224", "options": TINY, "classifier": False}
STUDENT = {"model": "resnet10t", "options": {"channels": [8, 8, 16, 16]}, "classifier": False}


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    draw = np.random.default_rng(0)
    for number in range(24):
        pixels = draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def spec(images, **more):
    return {
        "data": {
            "dataset": str(images),
            "train_split": "",
            "eval_split": None,
            "image_size": 32,
            "workers": 0,
        },
        "output": str(images.parent / "runs"),
        "student": STUDENT,
        "train": {"epochs": 2, "batch_size": 8},
        "optimizer": {"lr": 0.02},
        "report": False,
        **more,
    }


def check(result, heads):
    assert result.summary["status"] == "finished"
    assert result.summary["data"]["num_classes"] == 0
    first, last = result.metrics
    assert set(last["terms"]) == heads
    assert all(0 < last["terms"][name] < 1e6 for name in heads)
    assert last["loss"] < first["loss"]
    assert result.summary["distiller"]["parameters"] > 0
    backbone = timm.create_model(f"local-dir:{result.directory / 'student'}", pretrained=True, num_classes=0)
    assert backbone.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 16)
    start = kdcore.RunDirectory(result.directory).spec()["student"]
    assert start["classifier"] is False
    return load_file(result.directory / "student" / "model.safetensors")


@pytest.mark.parametrize("teacher", [DINO, CLIP], ids=["dino", "clip"])
def test_one_teaches_through_two_distillers(images, teacher):
    distillers = [{"name": "fitnet", "stages": [4]}, {"name": "fitnet", "stages": [3], "weight": 0.5}, "rkd"]
    result = kdcore.run(spec(images, teacher=teacher, distiller=distillers), quiet=True)
    check(result, {"fitnet.fitnet", "fitnet_2.fitnet", "rkd.distance", "rkd.angle"})
    assert 0 < result.metrics[-1]["eval"]["neighbour_agreement"] < 100


def test_both_teach_with_a_head_each(images):
    teachers = [{"name": "dino", **DINO}, {"name": "clip", **CLIP}]
    distillers = [
        {"name": "fitnet", "teacher": "dino", "stages": [4]},
        {"name": "fitnet", "teacher": "clip", "stages": [4]},
    ]
    together = spec(images, teacher=teachers, distiller=distillers)
    result = kdcore.run(together, quiet=True)
    trained = check(result, {"fitnet.fitnet", "fitnet_2.fitnet"})
    assert set(result.metrics[-1]["eval"]["neighbour_agreements"]) == {"dino", "clip"}
    assert [one["name"] for one in result.summary["teacher"]] == ["dino", "clip"]
    # the images of each teacher are in its cache, and a killed run goes on to the bit
    cached = {**together, "name": "cached", "teacher_cache": {"augmentations": 2, "dtype": "float32"}}
    kdcore.run(cached, quiet=True, until=1)
    resumed = check(kdcore.run(cached, quiet=True), {"fitnet.fitnet", "fitnet_2.fitnet"})
    for name, value in trained.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert json.loads((result.directory / "summary.json").read_text())["student"]["best_epoch"] is not None

"""CLIP and SigLIP of transformers with class embeddings: the same logits as the whole model's."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

pytest.importorskip("transformers", reason="needs kd-teachers[transformers]")

import transformers
from kd_teachers.transformers_adapter import TransformersAdapter
from kd_teachers.transformers_model import quiet

SIDE, K, D = 32, 5, 16
LAYERS = {"hidden_size": D, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 32}
SEEN = {"image_size": SIDE, "patch_size": 8, **LAYERS}
TEXT = {**LAYERS, "vocab_size": 99, "bos_token_id": 0, "eos_token_id": 98, "pad_token_id": 1}
IMAGES = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
NAMES = ("ant", "bee", "cow", "dog", "eel")


@pytest.fixture(params=["Clip", "Siglip"])
def saved(request, tmp_path):
    """A whole random model in a folder, and class embeddings that its text encoder made."""
    clip = request.param == "Clip"
    more = {"projection_dim": 12} if clip else {}
    with quiet(transformers):
        config = getattr(transformers, f"{'CLIP' if clip else 'Siglip'}Config")(
            vision_config=SEEN, text_config=TEXT | more, **more
        )
        torch.manual_seed(0)
        model = getattr(transformers, f"{'CLIP' if clip else 'Siglip'}Model")(config).eval()
        with torch.no_grad():
            model.logit_scale.fill_(2.5)
            if not clip:
                model.logit_bias.fill_(-1.5)
        model.save_pretrained(tmp_path / "saved")
    said = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": SIDE, "width": SIDE}}
    (tmp_path / "saved/preprocessor_config.json").write_text(json.dumps(said))
    words = torch.arange(K * 6).reshape(K, 6) + 5
    with torch.no_grad():
        output = model(input_ids=words, pixel_values=IMAGES)
    np.savez(tmp_path / "classes.npz", embeddings=output.text_embeds.numpy(), classes=np.array(NAMES))
    return tmp_path, model, output


def test_the_logits_are_those_of_the_whole_model(saved, make):
    at, _, wanted = saved
    built = make("transformers", num_classes=K, path=str(at / "saved"), text_head=str(at / "classes.npz"))
    model = built.model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(IMAGES), wanted.logits_per_image, rtol=1e-5, atol=1e-5)
        output = TransformersAdapter().forward(model, IMAGES, (1, 4), True)
    torch.testing.assert_close(output.logits, wanted.logits_per_image, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(torch.nn.functional.normalize(output.embedding), wanted.image_embeds)
    assert output.features[4].map.shape == (2, D, 4, 4)
    assert built.class_names == NAMES
    assert not built.description.trainable
    assert built.input.mean == (0.5,) * 3


def test_it_is_checked_on_the_meta_device(saved, make, problem):
    at, _, _ = saved
    given = {"path": str(at / "saved"), "text_head": str(at / "classes.npz"), "device": "meta"}
    built = make("transformers", num_classes=K, **given)
    assert built.model(IMAGES.to("meta")).shape == (2, K)
    assert "knows 5 classes, the data has 4" in problem("transformers", num_classes=4, **given).message
    assert make("transformers", num_classes=0, **given).model.num_classes == 0


def test_an_image_encoder_alone_needs_the_factor(saved, make, problem):
    at, model, wanted = saved
    with quiet(transformers):
        if "CLIP" in type(model).__name__:
            config = model.config.vision_config
            config.projection_dim = model.config.projection_dim
            alone = transformers.CLIPVisionModelWithProjection(config)
            alone.load_state_dict(model.state_dict(), strict=False)
        else:
            alone = transformers.SiglipVisionModel(model.config.vision_config)
            alone.load_state_dict(model.vision_model.state_dict(), strict=False)
        alone.save_pretrained(at / "alone")
    given = {"num_classes": K, "path": str(at / "alone"), "text_head": str(at / "classes.npz")}
    found = problem("transformers", **given)
    assert found.where == "teacher.options.logit_scale"
    bias = 0.0 if "CLIP" in type(model).__name__ else -1.5
    built = make("transformers", logit_scale=float(np.exp(2.5)), logit_bias=bias, **given)
    with torch.no_grad():
        found = built.model.eval()(IMAGES)
    torch.testing.assert_close(found, wanted.logits_per_image, rtol=1e-5, atol=1e-5)


def test_other_kinds_are_refused(problem, tmp_path, saved):
    at, _, _ = saved
    config = transformers.ViTConfig(**SEEN, num_labels=K)
    with quiet(transformers):
        transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    found = problem(
        "transformers", num_classes=K, path=str(tmp_path / "vit"), text_head=str(at / "classes.npz")
    )
    assert "of the kind 'vit'" in found.message

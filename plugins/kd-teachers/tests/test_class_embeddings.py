"""Files of class embeddings, and the classifier that they make of an image encoder."""

from __future__ import annotations

import json

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from kd_teachers.class_embeddings import ClassEmbeddings
from safetensors.torch import save_file

from kdcore import UserError
from kdcore.plugin import get_plugins

SIDE, K, D = 32, 3, 16
NAMES = ("cat", "dog", "owl")
ROWS = np.random.default_rng(0).normal(size=(K, D)).astype(np.float32) * 5


def read(path, scale=None, bias=None):
    return ClassEmbeddings.read(str(path), "options.path", scale, bias)


def wrong(path):
    with pytest.raises(UserError) as caught:
        read(path)
    (problem,) = caught.value.problems
    assert problem.where == "options.path"
    return problem.message


@pytest.fixture
def npz(tmp_path):
    def write(**arrays):
        np.savez(tmp_path / "classes.npz", **arrays)
        return tmp_path / "classes.npz"

    return write


def test_both_kinds_of_file_hold_the_same(npz, tmp_path):
    first = read(npz(embeddings=ROWS, classes=np.array(NAMES), logit_scale=20.0, logit_bias=-3.0))
    tensors = {"embeddings": torch.from_numpy(ROWS), "logit_scale": torch.tensor([20.0])}
    save_file(tensors, tmp_path / "c.safetensors", {"classes": json.dumps(NAMES)})
    second = read(tmp_path / "c.safetensors", bias=-3.0)
    for found in (first, second):
        assert torch.equal(found.rows, torch.from_numpy(ROWS))
        assert (found.names, found.scale, found.bias, found.count) == (NAMES, 20.0, -3.0, K)
    assert read(npz(embeddings=ROWS, logit_scale=20.0), scale=7.0).scale == 7.0


def test_the_classifier_is_the_scaled_cosine_plus_the_bias(npz):
    head = read(npz(embeddings=ROWS)).head(D, 20.0, -3.0)
    vectors = torch.randn(4, D, generator=torch.Generator().manual_seed(0))
    wanted = 20 * F.cosine_similarity(vectors[:, None].double(), torch.from_numpy(ROWS).double(), dim=2) - 3
    torch.testing.assert_close(head(vectors).double(), wanted, rtol=1e-5, atol=1e-5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(head(vectors), head(vectors.float()))
        assert head(vectors).dtype == torch.float32


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"rows": ROWS}, "has no 'embeddings'"),
        ({"embeddings": ROWS[0]}, "class embeddings are floats [K, D]"),
        ({"embeddings": ROWS.astype(int)}, "class embeddings are floats [K, D]"),
        ({"embeddings": ROWS * np.array([[1], [0], [1]])}, "zero or not finite, the first is row 1"),
        ({"embeddings": ROWS * np.array([[1], [1], [np.nan]])}, "zero or not finite, the first is row 2"),
        ({"embeddings": ROWS, "classes": np.array(NAMES[:2])}, "must be 3 texts"),
        ({"embeddings": ROWS, "classes": np.array(["a", "b", "a"])}, "two classes have the name 'a'"),
        ({"embeddings": ROWS, "logit_scale": np.array("x")}, "'logit_scale' is not a number"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(npz, arrays, text):
    assert text in wrong(npz(**arrays))


def test_files_of_other_kinds_and_pickles_are_refused(npz, tmp_path):
    assert "has another ending" in wrong(tmp_path / "classes.pt")
    (tmp_path / "classes.safetensors").write_bytes(b"no")
    assert "cannot be read" in wrong(tmp_path / "classes.safetensors")
    assert "cannot be read" in wrong(npz(embeddings=np.array([{}], dtype=object)))


@pytest.fixture
def encoder(tmp_path):
    """A tiny ViT of timm whose head is a projection to D, as those of CLIP are."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit", num_classes=D).eval()
    save_file(model.state_dict(), tmp_path / "encoder.safetensors")
    return model


@pytest.fixture
def text_head(make, npz, tmp_path, encoder, monkeypatch):
    config = timm.models.get_pretrained_cfg("test_vit")
    config.num_classes = D  # a deep copy each time
    monkeypatch.setattr(
        timm.models, "get_pretrained_cfg", lambda name: config if name == "test_vit" else None
    )

    def call(rows=ROWS, **given):
        path = npz(embeddings=rows, classes=np.array(NAMES))
        given = {"num_classes": K, "encoder": "test_vit", "path": str(path), "logit_scale": 10.0, **given}
        return make("text-head", checkpoint=str(tmp_path / "encoder.safetensors"), **given)

    return call


def test_an_encoder_of_timm_classifies_by_cosine(text_head, encoder):
    built = text_head()
    model = built.model.eval()
    images = torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        vectors = encoder(images)
        wanted = 10 * F.cosine_similarity(vectors[:, None], torch.from_numpy(ROWS), dim=2)
        torch.testing.assert_close(model(images), wanted, rtol=1e-4, atol=1e-4)
    assert built.class_names == NAMES
    assert not built.random_weights
    assert built.input.image_size == (160, 160)
    from kdcore.inspect import find_adapter

    adapter = find_adapter(model, None, get_plugins(), "teacher")
    output = adapter.forward(model, images, (1, 4), True)
    assert torch.equal(output.logits, model(images))
    assert torch.equal(output.embedding, vectors)
    assert [info.channels for info in adapter.stages(model, (160, 160))] == [64] * 4
    assert text_head(device="meta").model(images.to("meta")).shape == (2, K)


def test_what_does_not_fit_is_a_problem(text_head):
    def only(**given):
        with pytest.raises(UserError) as caught:
            text_head(**given)
        (problem,) = caught.value.problems
        return problem

    assert only(encoder="vit_nano").where == "teacher.options.encoder"
    assert "those of the image encoder have 16" in only(rows=ROWS[:, :5]).message
    assert only(logit_scale=None).where == "teacher.options.logit_scale"
    assert "knows 3 classes, the data has 4" in only(num_classes=4).message
    assert text_head(num_classes=0).model.num_classes == 0


def test_bfloat16_is_read(tmp_path):
    rows = torch.from_numpy(ROWS).bfloat16()
    save_file({"embeddings": rows, "logit_scale": torch.tensor(20.0).bfloat16()}, tmp_path / "c.safetensors")
    found = read(tmp_path / "c.safetensors")
    assert torch.equal(found.rows, rows.float())
    assert found.scale == 20.0


def test_damaged_files_are_problems_at_their_path(npz, tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", embeddings=ROWS)
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    damaged[100:140] = bytes(40)
    np.save(tmp_path / "array.npy", ROWS)
    for content in (b"", b"PK\x03\x04" + bytes(40), (tmp_path / "array.npy").read_bytes(), bytes(damaged)):
        (tmp_path / "classes.npz").write_bytes(content)
        assert "the file cannot be read" in wrong(tmp_path / "classes.npz")

"""ONNX files as teachers: their output, metadata, shapes, and what is refused."""

from __future__ import annotations

import copy
import json

import pytest
import torch
from torch import nn

onnx = pytest.importorskip("onnx", reason="needs onnx, which writes the files of these tests")
pytest.importorskip("onnxruntime", reason="needs kd-teachers[onnx]")

TensorProto, helper, numpy_helper = onnx.TensorProto, onnx.helper, onnx.numpy_helper

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
PREPARED = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7], "crop": [32, 32], "interpolation": "bilinear"}


class Net(nn.Module):
    """What the file computes: the mean over all pixels, and a linear layer."""

    def __init__(self, classes=10):
        super().__init__()
        torch.manual_seed(0)
        self.fc = nn.Linear(3, classes)

    def forward(self, images):
        return self.fc(images.mean((2, 3)))


@pytest.fixture
def write(tmp_path):
    """Write an ONNX file of `Net`."""

    def call(
        shape=("batch", 3, 32, 32), metadata=None, out=("batch", 10), kind=TensorProto.FLOAT, name="net.onnx"
    ):
        net = Net()
        nodes = [
            helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
            helper.make_node("Flatten", ["pooled"], ["flat"]),
            helper.make_node("Gemm", ["flat", "w", "b"], ["logits"], transB=1),
        ]
        graph = helper.make_graph(
            nodes,
            "net",
            [helper.make_tensor_value_info("images", kind, shape)],
            [
                helper.make_tensor_value_info("logits", kind, out),
                helper.make_tensor_value_info("pooled", kind, None),
            ],
            [
                numpy_helper.from_array(net.fc.weight.detach().numpy(), "w"),
                numpy_helper.from_array(net.fc.bias.detach().numpy(), "b"),
            ],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, {key: json.dumps(value) for key, value in (metadata or {}).items()})
        onnx.save(model, tmp_path / name)
        return str(tmp_path / name)

    return call


@pytest.mark.parametrize("batch", ["batch", 1])
def test_its_output_is_that_of_the_network(write, make, batch):
    built = make("onnx", path=write((batch, 3, 32, 32)))
    torch.testing.assert_close(built.model(IMAGES), Net()(IMAGES).detach())
    assert not built.random_weights
    assert built.parameters == 0


def test_on_the_meta_device_it_has_its_shape(write, make):
    model = make("onnx", path=write(), device="meta").model
    assert model(IMAGES.to("meta")).shape == (3, 10)
    assert model(IMAGES.to("meta")).device.type == "meta"


def test_a_width_that_the_file_does_not_say_is_measured(write, make):
    assert make("onnx", path=write(out=("batch", "classes")), device="meta").model.width == 10


def test_the_metadata_of_kds_export_are_read(write, make):
    names = [f"class {index}" for index in range(10)]
    built = make("onnx", path=write(metadata={"preprocessing": PREPARED, "classes": names}))
    assert (built.input.mean, built.input.std, built.input.interpolation) == (
        (0.1, 0.2, 0.3),
        (0.5, 0.6, 0.7),
        "bilinear",
    )
    assert built.class_names == tuple(names)
    assert built.warnings == ()


def test_options_win_over_metadata(write, make):
    path = write(metadata={"preprocessing": PREPARED})
    classes = tuple("abcdefghij")
    built = make("onnx", path=path, mean=(0.5,) * 3, std=(0.25,) * 3, classes=classes)
    assert (built.input.mean, built.input.std, built.class_names) == ((0.5,) * 3, (0.25,) * 3, classes)


def test_other_metadata_are_left_alone(write, make):
    built = make("onnx", path=write(metadata={"preprocessing": "by hand", "classes": 3}))
    assert "ImageNet's are used" in built.warnings[0]


def test_a_fixed_size_is_kept(write, problem):
    found = problem("onnx", path=write(), image_size=48)
    assert found.where == "teacher.image_size"
    assert "32x32" in found.message


def test_any_size(write, make):
    built = make("onnx", path=write(("batch", 3, "height", "width")), image_size=48)
    assert built.input.image_size == (48, 48)
    assert built.model(torch.zeros(1, 3, 48, 48)).shape == (1, 10)


def test_as_an_encoder_its_output_is_the_embedding(write, make):
    from kd_teachers.onnx_model import OnnxAdapter

    built = make("onnx", path=write(), num_classes=0)
    output = OnnxAdapter().forward(built.model, IMAGES, (), True)
    assert torch.equal(output.embedding, built.model(IMAGES))


def test_a_copy_computes_the_same_and_the_digest_is_the_files(write, make):
    built = make("onnx", path=write())
    assert torch.equal(copy.deepcopy(built.model)(IMAGES), built.model(IMAGES))
    other = make("onnx", path=write(metadata={"classes": ["x"] * 10}, name="other.onnx"))
    assert not torch.equal(other.model.digest, built.model.digest)


@pytest.mark.parametrize(("file", "options", "where", "text"), [
    ({}, {"in_chans": 1}, "options.path", "3 channels, not 1"),
    ({"shape": (4, 3, 32, 32)}, {}, "options.path", "batches of 4 images only"),
    ({"shape": ("batch", 3, 32)}, {}, "options.path", "one input [B, C, H, W] in float32"),
    ({}, {"output": "logit"}, "options.output", "no such output"),
    ({}, {"output": "pooled"}, "options.path", "logits are [B, K]"),
    ({}, {"mean": (0.5,)}, "options.std", "give mean and std"),
])  # fmt: skip
def test_what_is_refused(write, problem, file, options, where, text):
    found = problem("onnx", path=write(**file), device="meta", **options)
    assert found.where == f"teacher.{where}"
    assert text in found.message


def test_other_files_are_refused(tmp_path, problem):
    (tmp_path / "net.onnx").write_bytes(b"no network")
    assert "onnxruntime cannot open it" in problem("onnx", path=str(tmp_path / "net.onnx")).message
    for name in ("net.pt2", "net.pt"):
        (tmp_path / name).touch()
        found = problem("onnx", path=str(tmp_path / name))
        assert "TorchScript or exported programs" in found.message
        assert "torch.onnx.export" in found.hint


def test_the_digest_of_a_teacher_is_that_of_its_file(write, make):
    """By it a cache of a teacher's outputs is found again, and two files do not share one."""
    from kdcore.models.digest import weights_digest

    first, same = (weights_digest(make("onnx", path=write()).model) for _ in range(2))
    other = write(metadata={"classes": ["x"] * 10}, name="other.onnx")
    assert first == same != weights_digest(make("onnx", path=other).model)


def test_weights_in_a_file_next_to_it_are_part_of_the_digest(write, make, tmp_path):
    """As torch.onnx.export writes them: the file itself is the same for all weights."""
    built = {}
    for name, factor in (("one", 1.0), ("two", 2.0)):
        model = onnx.load(write())
        weights = next(one for one in model.graph.initializer if one.name == "w")
        weights.CopyFrom(numpy_helper.from_array(factor * numpy_helper.to_array(weights), "w"))
        (tmp_path / name).mkdir()
        at = tmp_path / name / "net.onnx"
        onnx.save(model, at, save_as_external_data=True, location="net ä.onnx.data", size_threshold=0)
        built[name] = make("onnx", path=str(at)).model
    contents = {(tmp_path / name / "net.onnx").read_bytes() for name in built}
    assert len(contents) == 1
    assert not torch.equal(built["one"](IMAGES), built["two"](IMAGES))
    assert not torch.equal(built["one"].digest, built["two"].digest)

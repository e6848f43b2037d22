"""A module path as a stage is what the module gave, whatever the model does with it afterwards."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from kdcore import Distillation, Requires, RunFailed
from kdcore.features import Extractor, PlainAdapter, TimmAdapter


class Net(nn.Module):
    """Works in place behind its layers in every way that models do; `how` names it."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.layer = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
        self.split = Split()
        self.drop = nn.Dropout(0.5, inplace=True)
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        x = self.layer(stem)
        if self.how == "relu":
            x = F.relu(x, inplace=True)
        elif self.how == "addition":
            x += stem
        elif self.how == "view":
            x[:, 1:].mul_(2.0)
        elif self.how == "detached":
            x.detach().clamp_(min=0)
        elif self.how == "dropout":  # in training mode only
            x = self.drop(x)
        elif self.how == "list":
            parts = self.split(x)
            parts[0] = parts[0] + 1  # the list is changed, not the tensor
            x = torch.cat([parts[0].relu_(), parts[1]], 1)
        return self.fc(x.mean((2, 3)))


class Split(nn.Module):
    def forward(self, x: Tensor) -> list[Tensor]:
        return [x[:, :2], x[:, 2:]]


HOWS = ("relu", "addition", "view", "detached", "dropout", "list", "nothing")


def seen(net: nn.Module, path: str) -> list[Tensor]:
    """From now on, what the module gives."""
    found: list[Tensor] = []

    def hook(module: nn.Module, args: Any, output: Any) -> None:
        first = output[0] if isinstance(output, list) else output
        found.append(first.detach().clone())

    net.get_submodule(path).register_forward_hook(hook)
    return found


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("gradients", [True, False])
def test_features_are_what_the_module_gave(how, training, gradients, images):
    torch.manual_seed(0)
    net = Net(how).train(training)
    path = "split" if how == "list" else "layer"
    given = seen(net, path)
    extractor = Extractor(net, PlainAdapter(), (path,))
    with torch.set_grad_enabled(gradients):
        for _ in range(3):
            output = extractor(images(8))
            assert torch.equal(output.features[path].map, given[-1])


def test_nothing_is_copied_where_nothing_is_in_place(images):
    net = Net("nothing")
    given: list[Tensor] = []
    net.layer.register_forward_hook(lambda _, __, output: given.append(output))
    extractor = Extractor(net, PlainAdapter(), ("layer",))
    for _ in range(2):  # in the first pass the copy is not what is given out
        assert extractor(images(8)).features["layer"].map is given[-1]


@pytest.mark.parametrize("how", ["relu", "addition", "nothing"])
def test_each_pass_has_the_same_gradients_bit_by_bit(how, images):
    torch.manual_seed(0)
    net = Net(how)
    extractor = Extractor(net, PlainAdapter(), ("layer", "stem"))
    found = []
    for _ in range(3):
        net.zero_grad()
        out = extractor(images(8))
        maps = [out.features[path].map for path in ("layer", "stem")]
        (out.logits.square().sum() + sum((one**2).sum() + one.sum() for one in maps)).backward()
        found.append([one.grad.clone() for one in net.parameters()])
    for grads in found[1:]:
        assert all(torch.equal(one, other) for one, other in zip(found[0], grads, strict=True))


@pytest.mark.parametrize("how", ["relu", "addition", "view"])
def test_compiled_without_a_break(how, images):
    torch.manual_seed(0)
    net = Net(how).eval()
    plain = Extractor(copy.deepcopy(net), PlainAdapter(), ("layer",))
    torch._dynamo.reset()
    compiled = torch.compile(Extractor(net, PlainAdapter(), ("layer",)), backend="aot_eager", fullgraph=True)
    for _ in range(2):
        torch.testing.assert_close(
            compiled(images(8)).features["layer"].map, plain(images(8)).features["layer"].map
        )
    torch._dynamo.reset()


@pytest.mark.parametrize("how", ["relu", "addition"])
def test_under_autocast(how, images):
    net = Net(how)
    given = seen(net, "layer")
    extractor = Extractor(net, PlainAdapter(), ("layer",))
    for dtype in (torch.bfloat16, torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype=dtype):
            assert torch.equal(extractor(images(8)).features["layer"].map, given[-1])


def test_in_inference_mode(images):
    net = Net("relu")
    given = seen(net, "layer")
    extractor = Extractor(net, PlainAdapter(), ("layer",))
    with torch.inference_mode():
        assert torch.equal(extractor(images(8)).features["layer"].map, given[-1])


def test_beside_numbered_stages_of_an_adapter(build, images):
    net = copy.deepcopy(build("resnet10t"))
    given = {path: seen(net, path) for path in ("bn1", "layer4.0.bn2", "layer2")}
    extractor = Extractor(net, TimmAdapter(), (*given, 2, 4), embedding=True)
    with torch.no_grad():
        for _ in range(2):
            features = extractor(images(32)).features
            for path, tensors in given.items():
                assert torch.equal(features[path].map, tensors[-1])
            assert torch.equal(features[2].map, given["layer2"][-1])
            assert features["layer4.0.bn2"].map.min() < 0 <= features[4].map.min()


def test_a_pass_that_starts_to_work_in_place_is_an_error_and_the_next_is_right(images):
    net = Net("nothing")
    given = seen(net, "layer")
    extractor = Extractor(net, PlainAdapter(), ("layer",))
    extractor(images(8))
    net.how = "relu"
    with pytest.raises(RunFailed, match=r"module .layer. of Net: a later operation .* in place"):
        extractor(images(8))
    assert torch.equal(extractor(images(8)).features["layer"].map, given[-1])


class Reads(nn.Module):
    """Keeps what it is given of both models."""

    def __init__(self) -> None:
        super().__init__()
        self.requires = Requires(student_stages=("layer",), teacher_stages=("layer",))

    def forward(self, student: Any, teacher: Any, batch: Any, progress: Any) -> dict[str, Tensor]:
        self.maps = [one.features["layer"].map.detach().clone() for one in (student, teacher)]
        return {"term": student.features["layer"].map.mean()}


def test_through_ddp_and_the_teachers_pass(images, tmp_path: Path):
    student, teacher, reads = Net("relu"), Net("addition"), Reads()
    given = seen(student, "layer"), seen(teacher, "layer")
    built = Distillation(student, teacher, reads, num_classes=3, image_size=8)
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        model = DistributedDataParallel(built, find_unused_parameters=True)
        for _ in range(2):
            model(images(8), torch.tensor([0, 1])).loss.backward()
            assert torch.equal(reads.maps[0], given[0][-1])
            assert torch.equal(reads.maps[1], given[1][-1])
    finally:
        dist.destroy_process_group()

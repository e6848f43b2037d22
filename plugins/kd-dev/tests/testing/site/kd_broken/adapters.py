"""A small network, a good adapter for it, and for each rule one that breaks it and no other."""

from __future__ import annotations

import threading
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from kdcore import FeatureMap, ModelOutput, StageInfo


class ToyNet(nn.Module):
    def __init__(self, num_classes: int = 7, in_chans: int = 3, width: int = 6) -> None:
        super().__init__()
        self.drop_rate = 0.0
        channels = [in_chans, *(width + n for n in range(4))]
        self.body = nn.ModuleList(nn.Conv2d(channels[n], channels[n + 1], 3, 2, 1) for n in range(4))
        self.norm = nn.BatchNorm2d(width)
        self.fc = nn.Linear(channels[-1], num_classes)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, images: Tensor) -> Tensor:
        for number, layer in enumerate(self.body):
            images = layer(images).relu() if number else self.norm(layer(images)).relu()
        return self.fc(F.dropout(images.mean((2, 3)), self.drop_rate, self.training))


class Good:
    def stages(self, model: Any, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        height, width = image_size
        found = []
        for number, layer in enumerate(model.body, 1):
            height, width = (height + 1) // 2, (width + 1) // 2
            found.append(StageInfo(number, layer.out_channels, (height, width)))
        return tuple(found)

    def forward(self, model: Any, images: Tensor, stages: Any, embedding: bool) -> ModelOutput:
        maps = {}
        for number, layer in enumerate(model.body, 1):
            images = self.layer(layer, images)
            images = (model.norm(images) if number == 1 else images).relu()
            if number in self.wanted(stages):
                maps[number] = FeatureMap(images)
        vector = self.drop(model, images.mean((2, 3)))
        return ModelOutput(self.classify(model, vector), maps, self.embed(vector) if embedding else None)

    def layer(self, layer: Any, images: Tensor) -> Tensor:
        return layer(images)

    def wanted(self, stages: Any) -> Any:
        return stages

    def drop(self, model: Any, vector: Tensor) -> Tensor:
        return F.dropout(vector, model.drop_rate, model.training)

    def classify(self, model: Any, vector: Tensor) -> Tensor:
        return model.fc(vector)

    def embed(self, vector: Tensor) -> Tensor:
        return vector


class Rest(nn.Module):
    def __init__(self, model: Any, stage: int) -> None:
        super().__init__()
        self.layers, self.fc = nn.ModuleList(model.body[stage:]), model.fc

    def forward(self, feature: Any, embedding: bool = False) -> ModelOutput:
        images = feature.map
        for layer in self.layers:
            images = layer(images).relu()
        return ModelOutput(self.fc(images.mean((2, 3))))


class SkipsLayer(Good):
    def tail(self, model: Any, stage: int) -> nn.Module:
        rest = Rest(model, stage)
        if stage == 1:
            rest.layers.append(nn.Identity()).insert(0, nn.AvgPool2d(3, 1, 1))
        return rest


class BareLogits(Good):
    def forward(self, model: Any, images: Tensor, stages: Any, embedding: bool) -> Any:
        return model(images)


class NoDropout(Good):
    def drop(self, model: Any, vector: Tensor) -> Tensor:
        return vector


class WorksTwice(Good):
    def layer(self, layer: Any, images: Tensor) -> Tensor:
        layer(images)
        return layer(images)


class FullPrecision(Good):
    def forward(self, model: Any, images: Tensor, stages: Any, embedding: bool) -> ModelOutput:
        with torch.autocast("cpu", enabled=False):
            return super().forward(model, images, stages, embedding)


class WidthFirst(Good):
    def stages(self, model: Any, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        return tuple(
            StageInfo(one.stage, one.channels, one.grid[::-1]) for one in super().stages(model, image_size)
        )


class AllStages(Good):
    def wanted(self, stages: Any) -> Any:
        return (1, 2, 3, 4) if stages else ()


class Normalises(Good):
    def embed(self, vector: Tensor) -> Tensor:
        return F.normalize(vector, dim=1)


class Detaches(Good):
    def layer(self, layer: Any, images: Tensor) -> Tensor:
        found = layer(images)
        return found.detach() if layer.in_channels == 3 else found


class CallsForward(Good):
    def layer(self, layer: Any, images: Tensor) -> Tensor:
        return layer.forward(images)


class ReadsValues(Good):
    def stages(self, model: Any, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        assert model.fc.weight.sum().item() != 0
        return super().stages(model, image_size)


class LeavesHook(Good):
    def stages(self, model: Any, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        model.fc.register_forward_hook(lambda *_: None)
        return super().stages(model, image_size)


class LeavesNote(Good):
    def stages(self, model: Any, image_size: tuple[int, int]) -> tuple[StageInfo, ...]:
        model.size_seen = image_size
        return super().stages(model, image_size)


class HoldsLock(Good):
    def __init__(self) -> None:
        self.lock = threading.Lock()


class KeepsFirst(Good):
    def __init__(self) -> None:
        self.fc: Any = None

    def classify(self, model: Any, vector: Tensor) -> Tensor:
        if self.fc is None:
            self.fc = model.fc
        return self.fc(vector)


class BreaksGraph(Good):
    def layer(self, layer: Any, images: Tensor) -> Tensor:
        torch._dynamo.graph_break()
        return layer(images)

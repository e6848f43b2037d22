"""What all the networks have: four stages, an embedding, a linear classifier, and what input they take."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from torch import Tensor, nn
from torch.nn import functional as F

Normalize = Literal["cifar10", "cifar100", "imagenet"]

MEAN_STD: Final[dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]]] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),  # as RepDistiller has them
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class Network(nn.Module):
    """A classifier of small images.

    A subclass says its four stages (`stage_channels`, `stage_strides`), computes their maps (`maps`), and makes the
    embedding of the deepest (`embed`).

    Args:
        num_classes: K.
        in_chans: channels of the images.
        normalize: whose mean and deviation the images are normalised with. kd does that; the network only says it.
    """

    classifier_name: ClassVar[str] = "fc"
    stage_strides: ClassVar[tuple[int, int, int, int]] = (1, 1, 2, 4)
    stage_channels: tuple[int, int, int, int]

    def __init__(self, num_classes: int, in_chans: int, normalize: Normalize) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.in_chans = in_chans
        self.pretrained_cfg = input_of(num_classes, in_chans, normalize, self.classifier_name)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`[B, C, H, W]` -> the maps of stages 1 to 4; from the last one the rest is computed."""
        raise NotImplementedError

    def embed(self, deepest: Tensor) -> Tensor:
        """The map of stage 4 -> the embedding `[B, D]`."""
        return pooled(deepest)

    def forward(self, images: Tensor) -> Tensor:
        """`[B, C, H, W]` -> logits `[B, K]`."""
        return self.classify(self.embed(self.maps(images)[3]))

    def classify(self, embedding: Tensor) -> Tensor:
        """`[B, D]` -> logits `[B, K]`."""
        logits: Tensor = self.get_classifier()(embedding)
        return logits

    def get_classifier(self) -> nn.Linear:
        """The last layer; by it kd sees how many classes a checkpoint knows."""
        classifier = self.get_submodule(self.classifier_name)
        assert isinstance(classifier, nn.Linear)
        return classifier

    @property
    def num_features(self) -> int:
        """D of the embedding."""
        return self.get_classifier().in_features

    def grid(self, image_size: tuple[int, int], stage: int) -> tuple[int, int]:
        """Height and width of a stage's map; halving rounds up."""
        stride = self.stage_strides[stage - 1]
        return -(-image_size[0] // stride), -(-image_size[1] // stride)


def input_of(num_classes: int, in_chans: int, normalize: Normalize, classifier: str) -> dict[str, object]:
    """What kd reads of a network's input and classifier, with the names that timm gives them."""
    mean, std = MEAN_STD[normalize]
    return {
        "input_size": (in_chans, 32, 32),
        "mean": mean,
        "std": std,
        "interpolation": "bilinear",
        "crop_pct": 1.0,
        "num_classes": num_classes,
        "classifier": classifier,
    }


def pooled(features: Tensor) -> Tensor:
    """`[B, C, H, W]` -> the means over all places, `[B, C]`."""
    return F.adaptive_avg_pool2d(features, 1).flatten(1)


def initialise(model: nn.Module) -> None:
    """Convolutions from a normal distribution of variance 2 / fan-out (He et al. 2015), their biases from zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)

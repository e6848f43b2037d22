from __future__ import annotations

import pytest
import torch
from torch import nn

from kdcore import FeatureAdapter, UserError
from kdcore.features import Extractor, PlainAdapter


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 4, 3, 2, 1)
        self.fc = nn.Linear(4, 10)

    def forward(self, images):
        return self.fc(self.features(images).mean((2, 3)))


def test_logits_and_paths():
    net, images = Net(), torch.randn(2, 3, 8, 8)
    assert isinstance(PlainAdapter(), FeatureAdapter)
    output = Extractor(net, PlainAdapter(), ("features",))(images)
    assert torch.equal(output.logits, net(images))
    assert torch.equal(output.features["features"].map, net.features(images))


@pytest.mark.parametrize(
    ("stages", "embedding", "what"), [((2,), False, "stages 1..4"), ((), True, "embedding")]
)
def test_more_is_refused(stages, embedding, what):
    with pytest.raises(UserError, match=f"Net is not a timm model, and no feature adapter knows its {what}"):
        Extractor(Net(), PlainAdapter(), stages, embedding)(torch.randn(2, 3, 8, 8))


def test_its_stages_are_refused_with_a_way_out():
    with pytest.raises(UserError, match="name a module path such as"):
        PlainAdapter().stages(Net(), (8, 8))

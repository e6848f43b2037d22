import pytest

from kdcore.errors import UserError
from kdcore.models.build import build_model
from kdcore.plugins import get_plugins
from kdcore.spec.models import ModelSpec


def build(model, options):
    spec = ModelSpec(model=model, options=options)
    return build_model(
        spec, num_classes=10, in_chans=3, image_size=32, plugins=get_plugins(), where="student", device="meta"
    )


@pytest.mark.parametrize(("model", "option", "value", "allowed"), [
    ("resnet18", "zero_init_last", "no", "true or false"),
    ("resnet18", "avg_down", 1, "true or false"),
    ("resnet18", "drop_path_rate", True, "a number"),
    ("vit_tiny_patch16_224", "dynamic_img_size", "false", "true or false"),
    ("vit_tiny_patch16_224", "init_values", False, "a number"),
    ("convnext_tiny", "conv_mlp", "off", "true or false"),
])  # fmt: skip
def test_what_would_be_taken_for_something_else(model, option, value, allowed):
    with pytest.raises(UserError) as caught:
        build(model, {option: value})
    (problem,) = caught.value.problems
    assert problem.where == f"student.options.{option}"
    assert (problem.value, problem.allowed) == (value, allowed)


@pytest.mark.parametrize(("model", "options"), [
    ("resnet18", {"zero_init_last": False, "drop_path_rate": 0, "act_layer": "gelu", "channels": [8, 8, 8, 8]}),
    ("vit_tiny_patch16_224", {"init_values": None, "class_token": True, "global_pool": "token", "img_size": 32}),
    ("convnext_tiny", {"ls_init_value": 1, "kernel_sizes": 3, "norm_layer": "layernorm"}),
    ("mobilenetv3_small_100", {"drop_rate": 0.1}),
])  # fmt: skip
def test_right_types(model, options):
    assert build(model, options).options == options

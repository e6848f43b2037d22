"""What this plugin declares. Imports neither torch nor torchvision."""

from __future__ import annotations

from typing import Final

from kdcore import AdapterEntry, ModelEntry, hookimpl

PLUGIN_API = 1

# options model: names in torchvision
MODELS: Final = {
    "ResNetOptions": "resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d resnext101_32x8d resnext101_64x4d "
    "wide_resnet50_2 wide_resnet101_2",
    "DropoutOptions": "alexnet vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn squeezenet1_0 squeezenet1_1 "
    "googlenet inception_v3 mobilenet_v2 mobilenet_v3_small mobilenet_v3_large mnasnet0_5 mnasnet0_75 mnasnet1_0 "
    "mnasnet1_3 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5 "
    "efficientnet_b6 efficientnet_b7 efficientnet_v2_s efficientnet_v2_m efficientnet_v2_l",
    "DepthOptions": "convnext_tiny convnext_small convnext_base convnext_large swin_t swin_s swin_b swin_v2_t "
    "swin_v2_s swin_v2_b maxvit_t",
    "ViTOptions": "vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14",
    "PlainOptions": "densenet121 densenet161 densenet169 densenet201 regnet_x_400mf regnet_x_800mf regnet_x_1_6gf "
    "regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf regnet_y_400mf regnet_y_800mf regnet_y_1_6gf "
    "regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf regnet_y_128gf shufflenet_v2_x0_5 shufflenet_v2_x1_0 "
    "shufflenet_v2_x1_5 shufflenet_v2_x2_0",
}


@hookimpl
def kd_models() -> list[ModelEntry]:
    """Every classifier of torchvision; timm has models of the same names, so these begin with `torchvision_`."""
    return [
        ModelEntry(
            name=f"torchvision_{name}",
            summary=f"torchvision's {name}.",
            target=f"kd_torchvision.models:{name}",
            options=f"kd_torchvision.options:{options}",
        )
        for options, names in MODELS.items()
        for name in names.split()
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """One adapter for the families whose four stages are clear."""
    return [
        AdapterEntry(
            name="torchvision",
            summary="torchvision's networks whose grid is halved from stage to stage: the maps before each halving.",
            target="kd_torchvision.adapter:TorchvisionAdapter",
            models=(
                "torchvision.models.resnet:ResNet",
                "torchvision.models.regnet:RegNet",
                "torchvision.models.vgg:VGG",
                "torchvision.models.densenet:DenseNet",
                "torchvision.models.mobilenetv2:MobileNetV2",
                "torchvision.models.mobilenetv3:MobileNetV3",
                "torchvision.models.efficientnet:EfficientNet",
                "torchvision.models.convnext:ConvNeXt",
                "torchvision.models.swin_transformer:SwinTransformer",
            ),
        )
    ]

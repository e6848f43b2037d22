"""What this plugin declares. Imports no torch."""

from __future__ import annotations

from kdcore import AdapterEntry, ModelEntry, hookimpl

PLUGIN_API = 1

# name, what it is, parameters at 100 classes, module
_MODELS = (
    ("cifar_resnet8", "ResNet-8, 16 to 64 channels", "0.08 M", "resnet"),
    ("cifar_resnet14", "ResNet-14, 16 to 64 channels", "0.18 M", "resnet"),
    ("cifar_resnet20", "ResNet-20, 16 to 64 channels", "0.28 M", "resnet"),
    ("cifar_resnet32", "ResNet-32, 16 to 64 channels", "0.47 M", "resnet"),
    ("cifar_resnet44", "ResNet-44, 16 to 64 channels", "0.67 M", "resnet"),
    ("cifar_resnet56", "ResNet-56, 16 to 64 channels", "0.86 M", "resnet"),
    ("cifar_resnet110", "ResNet-110, 16 to 64 channels", "1.74 M", "resnet"),
    ("cifar_resnet8x4", "ResNet-8, 64 to 256 channels", "1.23 M", "resnet"),
    ("cifar_resnet32x4", "ResNet-32, 64 to 256 channels", "7.43 M", "resnet"),
    ("cifar_wrn_16_1", "Wide ResNet of depth 16 and width 1", "0.18 M", "wrn"),
    ("cifar_wrn_16_2", "Wide ResNet of depth 16 and width 2", "0.70 M", "wrn"),
    ("cifar_wrn_40_1", "Wide ResNet of depth 40 and width 1", "0.57 M", "wrn"),
    ("cifar_wrn_40_2", "Wide ResNet of depth 40 and width 2", "2.26 M", "wrn"),
    ("cifar_vgg8", "VGG-8 with batch norm and one linear layer", "3.97 M", "vgg"),
    ("cifar_vgg11", "VGG-11 with batch norm and one linear layer", "9.28 M", "vgg"),
    ("cifar_vgg13", "VGG-13 with batch norm and one linear layer", "9.46 M", "vgg"),
    ("cifar_vgg16", "VGG-16 with batch norm and one linear layer", "14.77 M", "vgg"),
    ("cifar_vgg19", "VGG-19 with batch norm and one linear layer", "20.09 M", "vgg"),
    ("cifar_mobilenetv2_half", "MobileNetV2 of half width", "0.81 M", "mobilenetv2"),
    ("cifar_shufflenetv1", "ShuffleNetV1 of 3 groups", "0.95 M", "shufflenetv1"),
    ("cifar_shufflenetv2", "ShuffleNetV2 1x", "1.36 M", "shufflenetv2"),
    ("cifar_mixer", "MLP-Mixer of 16 patches, 6 blocks and 96 channels", "0.49 M", "mixer"),
)


@hookimpl
def kd_models() -> list[ModelEntry]:
    """The networks of the tables."""
    return [
        ModelEntry(
            name=name,
            summary=f"{what}, for 32-px images; {size} parameters.",
            target=f"kd_cifar_models.{module}:{name}",
        )
        for name, what, size, module in _MODELS
    ]


@hookimpl
def kd_feature_adapters() -> list[AdapterEntry]:
    """One adapter for all convolutional ones; kd-feature has that of MLP-Mixers."""
    return [
        AdapterEntry(
            name="cifar",
            summary="CIFAR networks: the last four of the maps that RepDistiller's networks give.",
            target="kd_cifar_models.adapter:CifarAdapter",
            models=(
                "kd_cifar_models.resnet:ResNet",
                "kd_cifar_models.wrn:WideResNet",
                "kd_cifar_models.vgg:VGG",
                "kd_cifar_models.mobilenetv2:MobileNetV2",
                "kd_cifar_models.shufflenetv1:ShuffleNetV1",
                "kd_cifar_models.shufflenetv2:ShuffleNetV2",
            ),
        )
    ]

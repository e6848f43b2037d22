"""The adapters and the classes that they serve. Imports no torch."""

from __future__ import annotations

from typing import Final

from kdcore import AdapterEntry

ADAPTERS: Final = (
    AdapterEntry(
        name="convnext",
        summary="ConvNeXt and ConvNeXt V2: each stage's output, before the final norm.",
        target="kd_feature.adapters.convnext:ConvNeXtAdapter",
        models=("timm.models.convnext:ConvNeXt",),
    ),
    AdapterEntry(
        name="mixer",
        summary="MLP-Mixer, ResMLP and gMLP: blocks 2, 4, 10 and 12 of 12; in proportion for other depths.",
        target="kd_feature.adapters.mixer:MixerAdapter",
        models=("timm.models.mlp_mixer:MlpMixer",),
    ),
    AdapterEntry(
        name="mobilenetv2",
        summary="MobileNetV2, EfficientNet and similar models: stage 4 after the last 1x1 convolution.",
        target="kd_feature.adapters.mobilenetv2:MobileNetV2Adapter",
        models=("timm.models.efficientnet:EfficientNet",),
    ),
    AdapterEntry(
        name="resnet",
        summary="ResNet, ResNeXt, SE-ResNet and similar models: layer1 to layer4, after the ReLU.",
        target="kd_feature.adapters.resnet:ResNetAdapter",
        models=("timm.models.resnet:ResNet",),
    ),
    AdapterEntry(
        name="swin",
        summary="Swin and Swin V2: each stage's output, before the next patch merging.",
        target="kd_feature.adapters.swin:SwinAdapter",
        models=(
            "timm.models.swin_transformer:SwinTransformer",
            "timm.models.swin_transformer_v2:SwinTransformerV2",
        ),
    ),
    AdapterEntry(
        name="vit",
        summary="ViT and DeiT: blocks 2, 4, 10 and 12 of 12, in proportion for other depths; leading tokens as prefix.",
        target="kd_feature.adapters.vit:ViTAdapter",
        models=(
            "timm.models.vision_transformer:VisionTransformer",
            "timm.models.deit:VisionTransformerDistilled",
        ),
    ),
)

"""The branches are those of the authors' code, for its four families of students at 224 px.

The shapes of the students' stages are those of the `stage_info` tables in `custom_forward/`. The counts are
written out here layer by layer, and once more as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from kd_ofa.ofa import OFA
from kd_ofa.options import OFAOptions

PYRAMID = (56, 28, 14, 7)


@dataclass(frozen=True)
class Student:
    name: str
    channels: tuple[int, int, int, int]
    grids: tuple[int, int, int, int]
    prefix: int
    embedding: int

    @property
    def stages(self):
        return [(c, (g, g), self.prefix) for c, g in zip(self.channels, self.grids, strict=True)]


RESNET18 = Student("resnet18", (64, 128, 256, 512), PYRAMID, 0, 512)
RESNET50 = Student("resnet50", (256, 512, 1024, 2048), PYRAMID, 0, 2048)
MOBILENETV2 = Student("mobilenetv2_100", (24, 32, 96, 1280), PYRAMID, 0, 1280)
DEIT_TINY = Student("deit_tiny_patch16_224", (192,) * 4, (14,) * 4, 1, 192)
RESMLP = Student("resmlp_12_224", (384,) * 4, (14,) * 4, 0, 384)
MIXER = Student("mixer_b16_224", (768,) * 4, (14,) * 4, 0, 768)
SWIN_TINY = Student("swin_tiny_patch4_window7_224", (96, 192, 384, 768), PYRAMID, 0, 768)
SWIN_PICO = Student("swin_pico_patch4_window7_224", (48, 96, 192, 384), PYRAMID, 0, 384)

# parameters of the branches of stages 1..4, with 100 classes and a teacher's embedding of 192
COUNTS = {
    RESNET18: (320_100, 306_276, 254_052, 313_956),
    RESNET50: (4_376_676, 4_173_924, 3_375_204, 4_401_252),
    MOBILENETV2: (275_044, 221_796, 264_676, 1_767_780),
    DEIT_TINY: (1_501_156, 1_056_868, 612_580, 612_580),
    RESMLP: (5_951_332, 4_178_020, 2_404_708, 2_404_708),
    MIXER: (23_699_044, 16_613_476, 9_527_908, 9_527_908),
    SWIN_TINY: (26_360_164, 17_204_836, 8_345_188, 7_162_468),
    SWIN_PICO: (6_618_340, 4_326_244, 2_108_260, 1_811_812),
}
CONVOLUTIONAL = (RESNET18, RESNET50, MOBILENETV2)


def sep_conv(c: int, out: int) -> int:
    depthwise, batch_norms = 3 * 3 * c, 2 * c + 2 * out
    return depthwise + c * c + depthwise + c * out + batch_norms


def conv_branch(student: Student, stage: int, width: int, classes: int) -> int:
    c = student.channels[stage - 1]
    head = width * classes + classes
    match stage:
        case 4:
            return c * width + width + head
        case 3:
            return sep_conv(c, width) + head
        case 2:
            return sep_conv(c, 2 * c) + sep_conv(2 * c, width) + head
        case _:
            return sep_conv(c, 2 * c) + sep_conv(2 * c, 4 * c) + sep_conv(4 * c, width) + head


def patch_merging(c: int, width: int) -> int:
    layer_norm, reduction = 2 * 4 * c, 4 * c * width
    return layer_norm + reduction


def block(d: int) -> int:
    layer_norms = 2 * d + 2 * d
    qkv_without_bias, proj = 3 * d * d, d * d + d
    mlp = (d * 4 * d + 4 * d) + (4 * d * d + d)
    return layer_norms + qkv_without_bias + proj + mlp


def token_branch(student: Student, stage: int, classes: int) -> int:
    d = student.embedding
    mergings = {56: 3, 28: 2, 14: 1, 7: 0}[student.grids[stage - 1]]
    merging = patch_merging(student.channels[stage - 1], d) + (mergings - 1) * patch_merging(d, d)
    blocks = {1: 3, 2: 2, 3: 1, 4: 1}[stage]
    return (merging if mergings else 0) + blocks * block(d) + d * classes + classes


def build(student, model, setup_for, teacher_embedding, classes):
    info = model(student.stages, student.embedding, student.name)
    with torch.device("meta"):
        return OFA(OFAOptions(), setup_for(info, teacher_embedding, classes))


def counts(ofa: OFA) -> tuple[int, ...]:
    return tuple(sum(parameter.numel() for parameter in branch.parameters()) for branch in ofa.branches)


@pytest.mark.parametrize("student", COUNTS, ids=lambda student: student.name)
def test_the_number_of_parameters(student, model, setup_for):
    assert counts(build(student, model, setup_for, 192, 100)) == COUNTS[student]


@pytest.mark.parametrize("teacher_embedding", [192, 1024, 2048])
@pytest.mark.parametrize("classes", [100, 1000])
@pytest.mark.parametrize("student", COUNTS, ids=lambda student: student.name)
def test_the_number_of_parameters_by_layer(student, classes, teacher_embedding, model, setup_for):
    if student in CONVOLUTIONAL:
        width = max(student.embedding, teacher_embedding)
        expected = tuple(conv_branch(student, stage, width, classes) for stage in (1, 2, 3, 4))
    else:
        expected = tuple(token_branch(student, stage, classes) for stage in (1, 2, 3, 4))
    assert counts(build(student, model, setup_for, teacher_embedding, classes)) == expected


def test_the_shapes_of_a_convolutional_students_branches(model, setup_for):
    ofa = build(RESNET18, model, setup_for, 768, 1000)
    third, fourth = ([tuple(p.shape) for p in ofa.branches[i].parameters()] for i in (2, 3))
    assert third == [
        (256, 1, 3, 3),
        (256, 256, 1, 1),
        (256,),
        (256,),
        (256, 1, 3, 3),
        (768, 256, 1, 1),
        (768,),
        (768,),
        (1000, 768),
        (1000,),
    ]
    assert fourth == [(768, 512, 1, 1), (768,), (1000, 768), (1000,)]


def test_only_the_first_depthwise_convolution_of_a_pair_has_stride_2(model, setup_for):
    ofa = build(RESNET18, model, setup_for, 768, 1000)
    strides = [m.stride for m in ofa.branches[0].modules() if isinstance(m, torch.nn.Conv2d) and m.groups > 1]
    assert strides == [(2, 2), (1, 1)] * 3


@pytest.mark.parametrize(
    ("student", "stage", "grids"), [(RESNET18, 1, [28, 14, 7]), (RESNET18, 3, [7]), (RESNET18, 4, [7])]
)
def test_a_convolutional_branch_ends_on_7_by_7(student, stage, grids, model, setup_for):
    ofa = build(student, model, setup_for, 192, 100)
    channels, grid, _ = student.stages[stage - 1]
    seen, x = [], torch.empty(2, channels, *grid, device="meta")
    for layer in ofa.branches[stage - 1].layers:
        x = layer(x)
        seen.append(x.shape[-1])
    assert seen == grids


@pytest.mark.parametrize(
    ("student", "stage", "shapes"),
    [
        (DEIT_TINY, 1, [(7, 7, 192)]),
        (DEIT_TINY, 4, [(7, 7, 192)]),
        (SWIN_TINY, 1, [(28, 28, 768), (14, 14, 768), (7, 7, 768)]),
        (SWIN_TINY, 3, [(7, 7, 768)]),
        (SWIN_TINY, 4, []),
    ],
)
def test_a_token_branch_merges_down_to_7_by_7(student, stage, shapes, model, setup_for):
    ofa = build(student, model, setup_for, 192, 100)
    channels, grid, _ = student.stages[stage - 1]
    seen, x = [], torch.empty(2, *grid, channels, device="meta")
    for layer in ofa.branches[stage - 1].merging:
        x = layer(x)
        seen.append(tuple(x.shape[1:]))
    assert seen == shapes


def test_activations_between_mergings(model, setup_for):
    def kinds(student, stage):
        ofa = build(student, model, setup_for, 192, 100)
        return [type(layer.activation).__name__ for layer in ofa.branches[stage - 1].merging]

    assert kinds(SWIN_TINY, 1) == ["GELU", "GELU", "Identity"]
    assert kinds(SWIN_TINY, 2) == ["GELU", "Identity"]
    assert kinds(SWIN_TINY, 3) == ["GELU"]
    assert kinds(DEIT_TINY, 1) == ["GELU"]


def test_transformer_blocks_have_four_heads_and_layer_norms_of_torchs_eps(model, setup_for):
    branch = build(DEIT_TINY, model, setup_for, 192, 100).branches[0]
    assert [block.attention.heads for block in branch.blocks] == [4, 4, 4]
    assert {m.eps for m in branch.modules() if isinstance(m, torch.nn.LayerNorm)} == {1e-5}

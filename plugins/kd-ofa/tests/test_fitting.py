from __future__ import annotations

import pytest
import torch
from kd_ofa.branches import ConvBranch, SepConv, TokenBranch
from kd_ofa.fitting import branch_kind, build_branches, halvings, halvings_above
from kd_ofa.options import OFAOptions

from kdcore import UserError


def at(*grids, channels=8, prefix=0):
    return [(channels, grid if isinstance(grid, tuple) else (grid, grid), prefix) for grid in grids]


def build(info, setup_for, teacher_embedding=24, **options):
    with torch.device("meta"):
        return build_branches(OFAOptions(**options), setup_for(info, teacher_embedding))


def depths(branches):
    return [
        len([layer for layer in branch.layers if isinstance(layer, SepConv)])
        if isinstance(branch, ConvBranch)
        else len([layer for layer in branch.merging if hasattr(layer, "reduction")])
        for branch in branches
    ]


@pytest.mark.parametrize(
    ("name", "stages", "kind"),
    [
        ("resnet18", at(56, 28, 14, 7), "conv"),
        ("deit_tiny_patch16_224", at(14, 14, 14, 14, prefix=1), "token"),
        ("mixer_b16_224", at(14, 14, 14, 14), "token"),
        ("some_pyramid_with_class_token", at(56, 28, 14, 7, prefix=1), "token"),
        ("swin_tiny_patch4_window7_224", at(56, 28, 14, 7), "token"),
        ("hf-hub:someone/SwinV2-of-mine", at(56, 28, 14, 7), "token"),
        ("SwinTransformer", at(8, 4, 2, 1), "token"),
        ("swiftformer_s", at(56, 28, 14, 7), "conv"),
        ("resnet18 without strides", at(8, 4, 4, 4), "conv"),
    ],
)
def test_the_kind_of_branch(name, stages, kind, model, setup_for):
    info = model(stages, name=name)
    assert branch_kind(name, info.stages) == kind
    expected = {"conv": ConvBranch, "token": TokenBranch}[kind]
    assert {type(branch) for branch in build(info, setup_for)} == {expected}


@pytest.mark.parametrize(("branch", "cls"), [("conv", ConvBranch), ("token", TokenBranch)])
@pytest.mark.parametrize("stages", [at(56, 28, 14, 7), at(14, 14, 14, 14, prefix=1)])
def test_the_kind_can_be_said(branch, cls, stages, model, setup_for):
    assert {type(b) for b in build(model(stages), setup_for, branch=branch)} == {cls}


@pytest.mark.parametrize(
    ("grids", "depth"),
    [
        ((56, 28, 14, 7), [3, 2, 1, 0]),  # 224 px
        ((75, 38, 19, 10), [3, 2, 1, 0]),  # 300 px
        ((32, 16, 8, 4), [3, 2, 1, 0]),  # 32 px, stride-1 stem
        ((8, 4, 2, 1), [3, 2, 1, 0]),  # 32 px, the stem of 224 px
        ((8, 4, 4, 4), [1, 0, 0, 0]),  # dilated
        ((16, 16, 8, 4), [2, 2, 1, 0]),  # two stages on one level
        ((35, 17, 17, 8), [2, 1, 1, 0]),  # rounding down
        (((24, 8), (12, 4), (6, 2), (3, 1)), [3, 2, 1, 0]),  # not square
        (((6, 1), (3, 1), (2, 1), (1, 1)), [3, 2, 1, 0]),
        ((2, 2, 1, 1), [1, 1, 0, 0]),
    ],
)
@pytest.mark.parametrize("branch", ["conv", "token"])
def test_the_depth_follows_the_students_grids(grids, depth, branch, model, setup_for):
    assert depths(build(model(at(*grids)), setup_for, branch=branch)) == depth


@pytest.mark.parametrize(
    ("grid", "mergings"),
    [(14, 1), (13, 0), (7, 0), (8, 0), (28, 2), (27, 1), (56, 3), (37, 2), (1, 0), ((64, 48), 2)],
)
def test_one_grid_is_halved_while_seven_remain(grid, mergings, model, setup_for):
    info = model(at(grid, grid, grid, grid, prefix=1))
    assert depths(build(info, setup_for)) == [mergings] * 4


@pytest.mark.parametrize(("token_grid", "mergings"), [(1, 3), (2, 2), (4, 1), (5, 0)])
def test_how_far_one_grid_is_halved_can_be_said(token_grid, mergings, model, setup_for):
    info = model(at(8, 8, 8, 8, prefix=1))
    assert depths(build(info, setup_for, token_grid=token_grid)) == [mergings] * 4


def test_token_grid_says_nothing_about_a_student_with_several_grids(model, setup_for):
    info = model(at(16, 8, 4, 2), name="swin")
    assert depths(build(info, setup_for, token_grid=8)) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("grid", "deepest", "count"),
    [
        ((4, 2), (2, 2), 0),
        ((7, 7), (7, 7), 0),
        ((14, 14), (3, 3), 2),
        ((5, 5), (2, 2), 2),
        ((4, 4), (3, 3), 0),
        ((2, 2), (9, 9), 0),
    ],
)
def test_halvings_come_nearest(grid, deepest, count):
    assert halvings(grid, deepest) == count


@pytest.mark.parametrize(("grid", "least", "count"), [((14, 14), 7, 1), ((15, 13), 7, 0), ((16, 1), 2, 1)])
def test_halvings_above_go_by_the_number_of_cells(grid, least, count):
    assert halvings_above(grid, least) == count


def test_transformer_blocks_by_stage(model, setup_for):
    info = model(at(14, 14, 14, 14, prefix=1))
    assert [len(branch.blocks) for branch in build(info, setup_for)] == [3, 2, 1, 1]
    assert [len(branch.blocks) for branch in build(info, setup_for, stages=[4, 2])] == [1, 2]


def test_the_network_decides_whatever_stages_have_branches(model, setup_for):
    info = model(at(56, 28, 14, 7))
    (branch,) = build(info, setup_for, stages=[2])
    assert isinstance(branch, ConvBranch)
    assert depths([branch]) == [2]


def test_module_paths_are_fitted_among_themselves(model, setup_for):
    paths = {"a.0": (4, (16, 16), 0), "a.1": (8, (8, 8), 0), "b": (12, (4, 4), 0)}
    branches = build(model(paths=paths), setup_for, stages=list(paths))
    assert {type(branch) for branch in branches} == {ConvBranch}
    assert depths(branches) == [2, 1, 0]
    tokens = {f"blocks.{i}": (16, (14, 14), 1) for i in (1, 3, 9, 11)}
    branches = build(model(paths=tokens), setup_for, stages=list(tokens))
    assert [len(branch.blocks) for branch in branches] == [3, 2, 1, 1]
    assert depths(branches) == [1, 1, 1, 1]
    (alone,) = build(model(paths=paths), setup_for, stages=["a.1"])
    assert isinstance(alone, ConvBranch)


@pytest.mark.parametrize(
    ("stages", "student", "teacher", "options", "width"),
    [
        (at(56, 28, 14, 7), 16, 24, {}, 24),
        (at(56, 28, 14, 7), 16, 8, {}, 16),
        (at(56, 28, 14, 7), 16, 24, {"width": 10}, 10),
        (at(56, 28, 14, 7), None, None, {"width": 10}, 10),
        (at(14, 14, 14, 14, prefix=1), 16, 24, {}, 16),
        (at(14, 14, 14, 14, prefix=1), 16, None, {}, 16),
        (at(14, 14, 14, 14, prefix=1), None, None, {"width": 10}, 10),
    ],
)
def test_the_width(stages, student, teacher, options, width, model, setup_for):
    branches = build(model(stages, student), setup_for, teacher, **options)
    assert [branch.classifier.in_features for branch in branches] == [width] * 4
    assert [branch.classifier.out_features for branch in branches] == [5] * 4


@pytest.mark.parametrize(("student", "teacher", "name"), [(None, 24, "some_net"), (16, None, "teacher_net")])
def test_an_unknown_embedding_is_explained(student, teacher, name, model, setup_for):
    info = model(at(56, 28, 14, 7), student)
    with pytest.raises(UserError, match="no feature adapter knows its embedding") as caught:
        build(info, setup_for, teacher)
    (problem,) = caught.value.problems
    assert problem.where == name
    assert "'width'" in problem.hint


def test_a_stage_that_does_not_exist_is_the_models_own_error(model, setup_for):
    with pytest.raises(UserError, match="there is no stage layer9"):
        build(model(at(56, 28, 14, 7)), setup_for, stages=["layer9"])


def test_without_stages_nothing_is_probed(model, setup_for):
    assert build(model(embedding=None), setup_for, None, stages=[]) == []

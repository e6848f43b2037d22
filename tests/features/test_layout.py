from __future__ import annotations

import pytest
import torch
from torch import nn

from kdcore.features.layout import as_feature_map

PLAIN = nn.Module()


def model(**attributes):
    module = nn.Module()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def numbered(*shape):
    return torch.arange(torch.Size(shape).numel()).reshape(shape)


def test_maps_stay():
    output = numbered(2, 5, 4, 4)
    found = as_feature_map(output, PLAIN, (32, 32), 2)
    assert found.map is output
    assert found.prefix is None


@pytest.mark.parametrize(("size", "grid"), [((32, 32), (4, 4)), ((32, 64), (4, 8)), ((96, 32), (3, 1))])
def test_channels_last_shows_in_the_proportions(size, grid):
    output = numbered(2, *grid, 7)
    found = as_feature_map(output, PLAIN, size, 2)
    assert found.map.shape == (2, 7, *grid)
    assert found.map[1, 6, 0, 0] == output[1, 0, 0, 6]


def test_where_both_readings_fit_the_models_layout_decides():
    output = numbered(2, 4, 4, 4)
    assert torch.equal(as_feature_map(output, PLAIN, (32, 32), 2).map, output)
    turned = as_feature_map(output, model(output_fmt="NHWC"), (32, 32), 2).map
    assert torch.equal(turned, output.permute(0, 3, 1, 2))


def test_a_single_cell_is_a_map():
    assert as_feature_map(numbered(2, 8, 1, 1), PLAIN, (32, 32), 2).map.shape == (2, 8, 1, 1)


@pytest.mark.parametrize(
    ("tokens", "declared", "prefix", "grid", "size"),
    [
        (16, None, 0, (4, 4), (32, 32)),
        (17, 1, 1, (4, 4), (32, 32)),
        (17, None, 1, (4, 4), (32, 32)),  # PiT and VOLO do not say that they have one
        (18, None, 2, (4, 4), (32, 32)),
        (16, 1, 0, (4, 4), (32, 32)),  # CaiT says one that it adds late
        (21, 5, 5, (4, 4), (32, 32)),
        (33, 1, 1, (4, 8), (32, 64)),
        (6, 0, 0, (3, 2), (96, 64)),
    ],
)
def test_tokens(tokens, declared, prefix, grid, size):
    output = numbered(2, tokens, 3)
    given = PLAIN if declared is None else model(num_prefix_tokens=declared)
    found = as_feature_map(output, given, size, 2)
    assert found.map.shape == (2, 3, *grid)
    assert torch.equal(found.map[:, :, -1, -1], output[:, -1])
    assert torch.equal(found.map[:, :, 1, 0], output[:, prefix + grid[1]])
    if prefix:
        assert torch.equal(found.prefix, output[:, :prefix])
    else:
        assert found.prefix is None


def test_vectors_are_one_cell():
    output = numbered(2, 5)
    assert torch.equal(as_feature_map(output, PLAIN, (32, 32), 2).map[:, :, 0, 0], output)


def test_the_first_of_several():
    output = numbered(2, 5, 4, 4)
    assert as_feature_map((output, None), PLAIN, (32, 32), 2).map is output


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ({"a": 1}, "returns dict, not a tensor"),
        ((), "returns tuple, not a tensor"),
        (torch.zeros(8, 4, 3), r"\[8, 4, 3\] is not \[B, ...\]"),  # windows of attention
        (torch.zeros(2), r"\[2\] is not"),
        (torch.zeros(2, 23, 3), "23 tokens do not form a grid"),
    ],
)
def test_what_is_no_map(output, message):
    with pytest.raises(ValueError, match=message):
        as_feature_map(output, PLAIN, (32, 32), 2)

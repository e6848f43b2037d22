from __future__ import annotations

import copy

import pytest
import torch
from kd_ofa.branches import ConvBranch, PatchMerging, SepConv, TokenBranch, TransformerBlock, init_weights
from torch import nn
from torch.nn import functional as F

from kdcore import FeatureMap

GRIDS = [(1, 1), (2, 2), (5, 5), (7, 7), (1, 6), (3, 8)]


def conv_branch(channels=6, halvings=2, width=8, classes=3):
    return ConvBranch(channels, halvings, width, classes)


def token_branch(channels=6, prefix=0, mergings=1, blocks=2, width=8, classes=3):
    return TokenBranch(channels, prefix, mergings=mergings, blocks=blocks, width=width, num_classes=classes)


def feature(channels=6, grid=(5, 5), prefix=0, samples=4):
    tokens = torch.randn(samples, prefix, channels) if prefix else None
    return FeatureMap(torch.randn(samples, channels, *grid), tokens)


def all_reached(branch: nn.Module) -> bool:
    return all(p.grad is not None and p.grad.abs().sum() > 0 for p in branch.parameters())


@pytest.mark.parametrize("grid", GRIDS)
def test_a_pair_of_separable_convolutions_halves_rounding_up(grid):
    out = SepConv(6, 10)(torch.randn(2, 6, *grid))
    assert out.shape == (2, 10, (grid[0] + 1) // 2, (grid[1] + 1) // 2)
    assert out.min() >= 0


@pytest.mark.parametrize("grid", GRIDS)
def test_a_merging_halves_rounding_up(grid):
    out = PatchMerging(6, 10, nn.GELU())(torch.randn(2, *grid, 6))
    assert out.shape == (2, (grid[0] + 1) // 2, (grid[1] + 1) // 2, 10)


def test_a_merging_takes_each_patch_once_with_its_neighbours_and_pads_with_zeros():
    merging = PatchMerging(1, 4, nn.Identity())
    merging.norm = nn.Identity()
    with torch.no_grad():
        merging.reduction.weight.copy_(torch.eye(4))
    patches = torch.arange(1.0, 16.0).view(1, 3, 5, 1)
    merged = merging(patches)[0]
    assert merged.shape == (2, 3, 4)
    assert merged[0, 0].tolist() == [1, 6, 2, 7]  # above, below, then the column to the right
    assert merged[0, 1].tolist() == [3, 8, 4, 9]
    assert merged[0, 2].tolist() == [5, 10, 0, 0]
    assert merged[1, 0].tolist() == [11, 0, 12, 0]
    assert merged[1, 2].tolist() == [15, 0, 0, 0]


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("width", [8, 6, 5])
def test_a_transformer_block_is_attention_and_mlp_written_out(width, fused, monkeypatch):
    monkeypatch.setattr("kd_ofa.branches.use_fused_attn", lambda: fused)
    torch.manual_seed(0)
    block = TransformerBlock(width).double()
    assert block.attention.fused == fused
    heads = {8: 4, 6: 2, 5: 1}[width]
    x = torch.randn(2, 5, width, dtype=torch.float64)
    normed = F.layer_norm(x, (width,), block.norm1.weight, block.norm1.bias)
    q, k, v = (normed @ block.attention.qkv.weight.T).split(width, dim=-1)
    mixed = torch.empty_like(x)
    size = width // heads
    for h in range(heads):
        part = slice(h * size, (h + 1) * size)
        scores = (q[..., part] @ k[..., part].transpose(1, 2) / size**0.5).softmax(dim=-1)
        mixed[..., part] = scores @ v[..., part]
    y = x + block.attention.proj(mixed)
    expected = y + block.mlp(F.layer_norm(y, (width,), block.norm2.weight, block.norm2.bias))
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("halvings", [0, 1, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_convolutional_branch_on_any_grid(grid, halvings):
    torch.manual_seed(0)
    branch = conv_branch(halvings=halvings)
    logits = branch(feature(grid=grid))
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    assert all_reached(branch)


@pytest.mark.parametrize("prefix", [0, 1, 2, 5])
@pytest.mark.parametrize("mergings", [0, 1, 3])
@pytest.mark.parametrize("grid", GRIDS)
def test_a_token_branch_on_any_grid(grid, mergings, prefix):
    torch.manual_seed(0)
    branch = token_branch(prefix=prefix, mergings=mergings)
    logits = branch(feature(grid=grid, prefix=prefix))
    assert logits.shape == (4, 3)
    logits.square().sum().backward()
    assert all_reached(branch)


def test_a_convolutional_branch_averages_over_the_grid_and_reads_no_prefix():
    branch = conv_branch(halvings=0)
    given = feature(grid=(3, 5), prefix=2)
    projected = torch.einsum("bchw,oc->bohw", given.map, branch.layers[0].weight[:, :, 0, 0])
    averaged = projected.sum(dim=(2, 3)) / 15 + branch.layers[0].bias
    torch.testing.assert_close(branch(given), branch.classifier(averaged))


def test_without_a_prefix_the_patches_are_averaged_and_with_one_its_first_token_is_read():
    for prefix in (0, 1, 3):
        branch = token_branch(channels=8, prefix=prefix, mergings=0)
        branch.blocks = nn.Identity()
        given = feature(channels=8, grid=(3, 5), prefix=prefix)
        vector = given.prefix[:, 0] if prefix else given.map.sum(dim=(2, 3)) / 15
        torch.testing.assert_close(branch(given), branch.classifier(vector))


def test_prefix_tokens_see_the_patches():
    branch = token_branch(channels=8, prefix=1)
    given = feature(channels=8, prefix=1)
    other = FeatureMap(given.map + 1 + given.map.square(), given.prefix)
    assert not torch.allclose(branch(given), branch(other))


@pytest.mark.parametrize(("channels", "projected"), [(6, True), (8, False)])
def test_only_what_has_another_width_is_projected(channels, projected):
    unmerged = token_branch(channels=channels, prefix=1, mergings=0)
    assert [type(layer) for layer in unmerged.merging] == [nn.Linear] * projected
    assert isinstance(unmerged.prefix, nn.Linear) == projected
    merged = token_branch(channels=channels, prefix=1, mergings=1)
    assert [type(layer) for layer in merged.merging] == [PatchMerging]
    assert isinstance(merged.prefix, nn.Linear) == projected
    assert isinstance(token_branch(channels=channels, prefix=0).prefix, nn.Identity)


BRANCHES = [lambda: conv_branch(halvings=0), conv_branch, token_branch, lambda: token_branch(prefix=2)]
each_branch = pytest.mark.parametrize("make", BRANCHES, ids=["1x1", "conv", "token", "prefix"])


def given_for(branch):
    return feature(prefix=getattr(branch, "prefix_tokens", 0))


@each_branch
def test_a_copy_is_independent_and_the_state_makes_the_round_trip(make):
    branch = make()
    given = given_for(branch)
    branch(given)  # moves the running statistics off their start
    branch.eval()
    before = branch(given)
    twin = copy.deepcopy(branch)
    torch.testing.assert_close(twin(given), before, rtol=0, atol=0)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.add_(1)
    torch.testing.assert_close(branch(given), before, rtol=0, atol=0)
    other = make().eval()
    assert not torch.allclose(other(given), before)
    other.load_state_dict(branch.state_dict(), strict=True)
    torch.testing.assert_close(other(given), before, rtol=0, atol=0)


@each_branch
def test_under_bf16_autocast(make):
    torch.manual_seed(0)
    branch = make()
    given = given_for(branch)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = branch(given)
    assert logits.dtype == torch.bfloat16
    single = copy.deepcopy(branch)(given)
    assert (logits.float() - single).abs().max() < 0.1 * (1 + single.abs().max())
    logits.float().square().sum().backward()
    assert all(p.grad.isfinite().all() and p.dtype == torch.float32 for p in branch.parameters())
    assert all_reached(branch)


@each_branch
def test_one_sample_on_one_cell_in_training(make):
    # the running statistics stand in for those of a single value
    branch = make().train()
    prefix = getattr(branch, "prefix_tokens", 0)
    logits = branch(feature(grid=(1, 1), prefix=prefix, samples=1))
    logits.square().sum().backward()
    assert logits.isfinite().all()
    assert all(p.grad.isfinite().all() for p in branch.parameters())


def test_channels_last_and_other_sizes_than_probed_will_do():
    for branch in (conv_branch().eval(), token_branch()):
        for grid in ((5, 5), (8, 6)):
            given = feature(grid=grid)
            last = FeatureMap(given.map.to(memory_format=torch.channels_last))
            torch.testing.assert_close(branch(last), branch(given))


def test_weights_start_as_the_authors_do():
    torch.manual_seed(0)
    conv = conv_branch(channels=512, halvings=1, width=512, classes=100).apply(init_weights)
    depthwise, pointwise = conv.layers[0][0].weight, conv.layers[0][1].weight
    assert depthwise.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.05)
    assert pointwise.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.05)
    token = token_branch(channels=64, prefix=1, width=64, classes=100).apply(init_weights)
    for branch in (conv, token):
        for module in branch.modules():
            if isinstance(module, nn.Linear):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.05)
                assert module.bias is None or module.bias.eq(0).all()
            elif isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
                assert module.weight.eq(1).all()
                assert module.bias.eq(0).all()

"""Merges: hand-computed sums, target widths and sizes."""

import pytest
import torch

from piip_explore.models.merging import PooledHead, SeparateHeads, SimplePyramid, WeightedSum


def test_sum_is_weighted_and_resized_to_the_reference():
    merge = WeightedSum("conv-multilevel", [4, 4], out=[0, 1], target=1, reference=0)
    for key in ("0", "1"):
        merge.adapters[key] = torch.nn.Identity()
    with torch.no_grad():
        merge.scales["0"].fill_(2.0)
        merge.scales["1"].fill_(3.0)
    maps = [torch.ones(1, 4, 6, 6), torch.full((1, 4, 3, 3), 5.0)]
    torch.testing.assert_close(merge(maps), torch.full((1, 4, 6, 6), 2.0 + 15.0))


def test_channels_have_weights_of_their_own():
    merge = WeightedSum("conv-multilevel", [2, 2], out=[0, 1], target=1, reference=0, weighting="channel")
    for key in ("0", "1"):
        merge.adapters[key] = torch.nn.Identity()
    with torch.no_grad():
        merge.scales["0"].copy_(torch.tensor([2.0, 3.0]))
        merge.scales["1"].copy_(torch.tensor([0.5, -1.0]))
    merged = merge([torch.ones(1, 2, 4, 6), torch.full((1, 2, 2, 3), 10.0)])
    torch.testing.assert_close(merged[:, 0], torch.full((1, 4, 6), 2.0 + 5.0))
    torch.testing.assert_close(merged[:, 1], torch.full((1, 4, 6), 3.0 - 10.0))


@pytest.mark.parametrize("kind", ["linear", "conv", "conv-multilevel"])
def test_an_untrained_merge_is_the_same_with_either_weighting(kind):
    published = WeightedSum(kind, [48, 32], out=[0, 1], target=1, reference=0)
    channel = WeightedSum(kind, [48, 32], out=[0, 1], target=1, reference=0, weighting="channel")
    channel.adapters.load_state_dict(published.adapters.state_dict())
    maps = [torch.randn(2, 48, 5, 7), torch.randn(2, 32, 2, 3)]
    assert torch.equal(channel(maps), published(maps))


@pytest.mark.parametrize("kind", ["linear", "conv", "conv-multilevel"])
def test_target_width_and_reference_size(kind):
    # The lowest-resolution branch gives the width even where it is the narrower one, and even where it does not feed.
    merge = WeightedSum(kind, [48, 32], out=[0], target=1, reference=0)
    assert merge([torch.randn(2, 48, 5, 7), torch.randn(2, 32, 2, 3)]).shape == (2, 32, 5, 7)
    assert set(merge.adapters) == {"0"}


@pytest.mark.parametrize("kind", ["linear", "conv", "conv-multilevel"])
@pytest.mark.parametrize("size", [(1, 1), (2, 3)])
def test_a_merge_learns_from_maps_of_frozen_branches(kind, size):
    """Channels-last maps that need no gradient end the process in PyTorch's own GroupNorm, on a CPU."""
    merge = WeightedSum(kind, [48, 32], out=[0, 1], target=1, reference=0).double()
    usual = [torch.randn(2, width, *size, dtype=torch.float64) for width in (48, 32)]
    gradients = []
    for maps in ([x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2) for x in usual], usual):
        merge.zero_grad()
        merge(maps).square().sum().backward()
        gradients.append([parameter.grad for parameter in merge.parameters()])
    torch.testing.assert_close(*gradients)


def test_linear_adapter_normalises_twice_but_for_the_target():
    merge = WeightedSum("linear", [32, 64], out=[0, 1], target=1, reference=0)
    kinds = {key: [type(layer).__name__ for layer in adapter] for key, adapter in merge.adapters.items()}
    assert kinds == {"0": ["GroupNorm", "ChannelLinear", "GroupNorm"], "1": ["GroupNorm"]}


def test_pyramid_levels_have_strides_4_8_16_32():
    levels = SimplePyramid([32] * 4)([torch.randn(1, 32, 6, 10)])
    assert [tuple(level.shape[2:]) for level in levels] == [(24, 40), (12, 20), (6, 10), (3, 5)]


def test_pooled_head_normalises_tokens_before_the_mean():
    torch.manual_seed(0)
    head = PooledHead(8, 3)
    torch.nn.init.normal_(head.norm.weight)
    x = torch.randn(2, 8, 3, 4) * 5
    tokens = torch.stack([head.norm(x[:, :, i, j]) for i in range(3) for j in range(4)])
    torch.testing.assert_close(head([x]), head.fc(tokens.mean(0)))


def test_separate_heads_read_the_first_patch_and_average():
    torch.manual_seed(0)
    head = SeparateHeads([8, 16], 5)
    maps = [torch.randn(2, 8, 4, 4), torch.randn(2, 16, 2, 2)]
    logits = [head.heads[i](head.norms[i](x[:, :, 0, 0])) for i, x in enumerate(maps)]
    torch.testing.assert_close(head(maps), (logits[0] + logits[1]) / 2)


@pytest.mark.parametrize(("weighting", "shape"), [("scalar", ()), ("channel", (5,))])
def test_separate_heads_learn_what_they_count_for(weighting, shape):
    torch.manual_seed(0)
    head, published = SeparateHeads([8, 16], 5, weighting), SeparateHeads([8, 16], 5)
    published.load_state_dict(head.state_dict(), strict=False)
    maps = [torch.randn(2, 8, 4, 4), torch.randn(2, 16, 2, 2)]
    assert torch.equal(head(maps), published(maps))
    weights = [torch.rand(shape), torch.rand(shape)]
    for scale, weight in zip(head.scales, weights, strict=True):
        scale.data = weight
    logits = [head.heads[i](head.norms[i](x[:, :, 0, 0])) for i, x in enumerate(maps)]
    torch.testing.assert_close(head(maps), (weights[0] * logits[0] + weights[1] * logits[1]) / 2)

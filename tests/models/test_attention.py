"""Self-attention against plain softmax attention written out window by window."""

import itertools

import pytest
import torch

from piip_explore.catalog import ViT
from piip_explore.models.attention import RelativeBias, SelfAttention

SPEC = ViT(depth=1, dim=8, heads=2)


def plain(module: SelfAttention, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """Softmax attention of one image's tokens (N, C) before the output projection."""
    q, k, v = module.qkv(x).chunk(3, -1)
    q, k, v = (t.reshape(len(x), module.heads, -1).transpose(0, 1) for t in (module.q_norm(q), module.k_norm(k), v))
    scores = q @ k.transpose(1, 2) / q.shape[-1] ** 0.5
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ v).transpose(0, 1).flatten(1)


@pytest.mark.parametrize("spec", [SPEC, ViT(1, 8, 2, qkv_bias=False, norm="rms", qk_norm=True)])
def test_global_attention_is_softmax_attention(spec):
    torch.manual_seed(0)
    module = SelfAttention(spec, window=None, grid=3, class_token=False)
    x = torch.randn(2, 12, 8)
    expected = torch.stack([module.proj(plain(module, image)) for image in x])
    torch.testing.assert_close(module(x, (3, 4)), expected)


@pytest.mark.parametrize("grid", [(4, 4), (5, 3), (1, 7)])
def test_windows_are_padded_before_the_projection(grid):
    torch.manual_seed(0)
    module = SelfAttention(SPEC, window=2, grid=5, class_token=False)
    torch.nn.init.normal_(module.qkv.bias)  # the padding's queries, keys and values
    height, width = grid
    x = torch.randn(1, height * width, 8)
    padded = torch.zeros(height + height % 2, width + width % 2, 8)
    padded[:height, :width] = x[0].reshape(height, width, 8)
    expected = torch.zeros_like(padded)
    for top, left in itertools.product(range(0, padded.shape[0], 2), range(0, padded.shape[1], 2)):
        window = padded[top : top + 2, left : left + 2].reshape(4, 8)
        expected[top : top + 2, left : left + 2] = plain(module, window).reshape(2, 2, 8)
    expected = module.proj(expected[:height, :width].reshape(1, -1, 8))
    torch.testing.assert_close(module(x, grid), expected)


def test_window_as_large_as_the_map_is_global_without_padding():
    torch.manual_seed(0)
    windowed = SelfAttention(SPEC, window=4, grid=3, class_token=False)
    whole = SelfAttention(SPEC, window=None, grid=3, class_token=False)
    whole.load_state_dict(windowed.state_dict())
    x = torch.randn(1, 9, 8)
    torch.testing.assert_close(windowed(x, (3, 3)), whole(x, (3, 3)))


def test_class_token_sees_all_windows_and_all_see_it():
    torch.manual_seed(0)
    module = SelfAttention(SPEC, window=2, grid=4, class_token=True)
    x = torch.randn(1, 17, 8)
    patches = x[0, 1:].reshape(4, 4, 8)
    rows = [plain(module, x[0])[:1]]
    inside = torch.zeros(4, 4, 8)
    for top, left in itertools.product((0, 2), (0, 2)):
        tokens = torch.cat([x[0, :1], patches[top : top + 2, left : left + 2].reshape(4, 8)])
        inside[top : top + 2, left : left + 2] = plain(module, tokens)[1:].reshape(2, 2, 8)
    expected = module.proj(torch.cat([*rows, inside.reshape(16, 8)]))
    torch.testing.assert_close(module(x, (4, 4))[0], expected)


def test_relative_bias_depends_on_the_offset_alone():
    bias = RelativeBias(3, heads=2, class_token=False)
    torch.nn.init.normal_(bias.relative_position_bias_table)
    table = bias((3, 3)).reshape(2, 3, 3, 3, 3)
    torch.testing.assert_close(table[:, 0, 0, 1, 2], table[:, 1, 0, 2, 2])
    assert not torch.allclose(table[:, 0, 0, 1, 2], table[:, 1, 2, 0, 0])
    # row (dy + 2) * 5 + (dx + 2) of the table, with (dy, dx) = query - key = (-1, -2)
    torch.testing.assert_close(table[:, 0, 0, 1, 2], bias.relative_position_bias_table[1 * 5 + 0])


def test_relative_bias_is_added_to_the_logits():
    torch.manual_seed(0)
    module = SelfAttention(ViT(1, 8, 2, position="relative"), window=None, grid=3, class_token=True)
    torch.nn.init.normal_(module.bias.relative_position_bias_table)
    x = torch.randn(1, 10, 8)
    expected = module.proj(plain(module, x[0], module.bias((3, 3))))
    torch.testing.assert_close(module(x, (3, 3))[0], expected)


def test_relative_bias_resamples_to_rectangles():
    bias = RelativeBias(3, heads=2, class_token=True)
    assert bias((2, 5)).shape == (2, 11, 11)
    torch.nn.init.constant_(bias.relative_position_bias_table, 0.5)
    torch.testing.assert_close(bias((2, 5)), torch.full((2, 11, 11), 0.5))

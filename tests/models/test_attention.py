"""Self-attention against plain softmax attention written out window by window."""

import itertools
from dataclasses import replace

import pytest
import torch

from piip_explore.catalog import MODELS, Rotary, ViT
from piip_explore.models import rotary
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


REGISTERS = replace(MODELS["dinov3_base"], depth=1, dim=16, heads=2, registers=2)
NEIGHBOURS = replace(MODELS["pe_core_base"], depth=1, dim=16, heads=2)


def turned(spec: ViT, x: torch.Tensor, height: int, width: int, places: list[tuple[int, int]]) -> torch.Tensor:
    """Turn the heads of one image's patches (N, C), which are at these places, channel pair by pair."""
    out = x.clone().reshape(len(x), spec.heads, -1)
    size = out.shape[-1]
    axes = [1, 0] if spec.rotary.columns_first else [0, 1]
    for token, place in enumerate(places):
        for pair in range(size // 2):
            axis, j = axes[pair // (size // 4)], pair % (size // 4)
            at = spec.rotary.extent * (place[axis] + spec.rotary.offset) / (height, width)[axis] + spec.rotary.origin
            angle = torch.tensor(at * spec.rotary.base ** (-j / (size // 4)))
            first, second = (pair, pair + size // 2) if spec.rotary.halves else (2 * pair, 2 * pair + 1)
            a, b = x.reshape(len(x), spec.heads, -1)[token, :, [first, second]].T
            out[token, :, first] = a * angle.cos() - b * angle.sin()
            out[token, :, second] = b * angle.cos() + a * angle.sin()
    return out.reshape(x.shape)


@pytest.mark.parametrize("spec", [REGISTERS, NEIGHBOURS], ids=["halves", "neighbours"])
@pytest.mark.parametrize(("grid", "window"), [((3, 4), None), ((4, 4), 2), ((3, 4), 2), ((2, 5), 3)])
def test_rotary_positions_are_those_of_the_map_in_every_window(spec, grid, window):
    """Registers and the class token see and are seen by all; padding stands where a larger map would continue."""
    torch.manual_seed(0)
    module = SelfAttention(spec, window, grid=4, class_token=True)
    torch.nn.init.normal_(module.qkv.bias)
    (height, width), prefix = grid, 1 + spec.registers
    x = torch.randn(1, prefix + height * width, 16)
    side = window or max(grid)
    rows, columns = (-(-n // side) * side if window else n for n in grid)
    places = list(itertools.product(range(rows), range(columns)))
    on_map = [at[0] < height and at[1] < width for at in places]
    padded = torch.zeros(len(places), 16)
    padded[on_map] = x[0, prefix:]
    tokens = torch.cat([x[0, :prefix], padded])
    q, k, v = module.qkv(tokens).chunk(3, -1)
    q, k = (torch.cat([t[:prefix], turned(spec, t[prefix:], height, width, places)]) for t in (q, k))
    of_window = [(at[0] // side, at[1] // side) for at in places]
    allowed = torch.ones(len(tokens), len(tokens), dtype=torch.bool)
    allowed[prefix:, prefix:] = torch.tensor([[a == b for b in of_window] for a in of_window])
    allowed[:prefix, prefix:] = torch.tensor(on_map)  # prefix tokens see no padding
    q, k, v = (t.reshape(len(t), 2, -1).transpose(0, 1) for t in (q, k, v))
    scores = (q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).masked_fill(~allowed, -torch.inf)
    expected = module.proj((scores.softmax(-1) @ v).transpose(0, 1).flatten(1))
    torch.testing.assert_close(module(x, grid)[0], expected[[True] * prefix + on_map])


def test_rotary_positions_stretch_to_the_map():
    of_two, of_four = (rotary.angles(REGISTERS.rotary, 8, (n, n), (n, n), torch.device("cpu")) for n in (2, 4))
    # the middle of a cell of two is the middle of the four cells that make it up
    quarters = of_four.unflatten(0, (2, 2, 2, 2)).mean((1, 3)).flatten(0, 1)
    torch.testing.assert_close(of_two, quarters)
    assert of_two.shape == (4, 4)


def test_a_turn_by_hand():
    """One patch, one head of four channels: a pair for the row at 90 degrees and one for the column at 180 degrees."""
    angles = torch.tensor([[torch.pi / 2, torch.pi]])
    x = torch.tensor([[[1.0, 2.0, 3.0, 4.0]]])
    torch.testing.assert_close(rotary.turn(x, angles, halves=True)[0, 0], torch.tensor([-3.0, -2.0, 1.0, -4.0]))
    torch.testing.assert_close(rotary.turn(x, angles, halves=False)[0, 0], torch.tensor([-2.0, 1.0, -3.0, -4.0]))
    of_one_cell = rotary.angles(Rotary(100, torch.pi, 0.5), 4, (1, 1), (1, 1), torch.device("cpu"))
    torch.testing.assert_close(of_one_cell, torch.full((1, 2), torch.pi / 2))


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

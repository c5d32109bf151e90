"""Interactions: what one direction computes, and in which order pairs read and write."""

import math

import pytest
import torch

from piip_explore.design import Interaction
from piip_explore.models import interaction
from piip_explore.models.interaction import (
    ConvFFN,
    DeformableAttention,
    DirectedInteraction,
    InteractionLayer,
    RegularAttention,
)

OPTIONS = Interaction(count=1, heads=2)


def perturb(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3)


KINDS = pytest.mark.parametrize(
    "options", [OPTIONS, Interaction(1, "regular", heads=4), Interaction(1, heads=2, project=False)]
)


@KINDS
@pytest.mark.parametrize("from_projections", [False, True])
def test_a_fresh_interaction_changes_nothing(options, from_projections):
    direction = DirectedInteraction(12, 16, options)
    if from_projections:
        direction.start_from_projections()
    x = torch.randn(2, 6, 16)
    assert torch.equal(direction(x, torch.randn(2, 20, 12), (2, 3), (4, 5)), x)


@KINDS
def test_projections_of_zero_learn_at_once(options):
    """With scales of zero the matrices have no gradient at all; with projections of zero the last ones do."""
    direction = DirectedInteraction(12, 16, options)
    moved = []
    for start in (lambda: None, direction.start_from_projections):
        start()
        direction.zero_grad()
        direction(torch.randn(2, 6, 16), torch.randn(2, 20, 12), (2, 3), (4, 5)).pow(2).sum().backward()
        gradients = {name: float(p.grad.norm()) for name, p in direction.named_parameters() if p.grad is not None}
        moved.append({name for name, size in gradients.items() if size > 0})
    attention = "attn.proj" if options.attention == "regular" else "attn.output_proj"
    assert moved[0] == {"ca_gamma", "cffn_gamma"}
    assert moved[1] == {f"{attention}.weight", f"{attention}.bias", "ffn.fc2.weight", "ffn.fc2.bias"}


def test_direction_is_attention_then_feed_forward():
    torch.manual_seed(0)
    direction = DirectedInteraction(12, 16, OPTIONS)
    perturb(direction)
    x, source = torch.randn(2, 6, 16), torch.randn(2, 20, 12)
    key = direction.feat_norm(direction.proj(source))
    expected = x + direction.ca_gamma * direction.attn(direction.query_norm(x), key, (2, 3), (4, 5))
    expected = expected + direction.cffn_gamma * direction.ffn(direction.ffn_norm(expected), (2, 3))
    torch.testing.assert_close(direction(x, source, (2, 3), (4, 5)), expected)


def test_without_projection_there_are_no_norms():
    names = {
        name.split(".")[0] for name in DirectedInteraction(12, 16, Interaction(1, heads=2, project=False)).state_dict()
    }
    assert names == {"attn", "ca_gamma", "cffn_gamma", "ffn"}


def test_fresh_deformable_attention_samples_a_ring():
    attention = DeformableAttention(8, 8, heads=4, points=3, value_width=4)
    bias = attention.sampling_offsets.bias.detach().reshape(4, 3, 2)
    for head, direction in enumerate([(1, 0), (0, 1), (-1, 0), (0, -1)]):
        for point in range(3):
            expected = torch.tensor(direction, dtype=torch.float32) * (point + 1)
            torch.testing.assert_close(bias[head, point], expected, atol=1e-6, rtol=0)
    eight = DeformableAttention(8, 8, heads=8, points=1, value_width=8).sampling_offsets.bias.reshape(8, 2)
    torch.testing.assert_close(eight[1], torch.ones(2))  # scaled to max-norm 1, not to length 1


@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_keeps_offsets_finer_than_bfloat16(monkeypatch, compiled):
    """Between 4 and 8 pixels bfloat16 has steps of 1/32 pixel."""
    attention = DeformableAttention(8, 8, heads=4, points=3, value_width=8)
    torch.nn.init.normal_(attention.sampling_offsets.weight)
    seen = []

    def attend(value, offsets, logits, key_grid, query_grid):
        seen.append((value.dtype, offsets))
        return value

    monkeypatch.setattr(interaction, "deformable_attention", attend)
    query, key = torch.randn(1, 6, 8, dtype=torch.bfloat16), torch.randn(1, 6, 8)
    run = torch.compile(attention, backend="eager", fullgraph=True) if compiled else attention
    with torch.autocast("cpu", torch.bfloat16):
        run(query, key, (2, 3), (2, 3))
    ((value_dtype, offsets),) = seen
    assert (value_dtype, offsets.dtype) == (torch.bfloat16, torch.float32)
    wanted = attention.sampling_offsets(query.float()).unflatten(-1, (4, 3, 2))
    torch.testing.assert_close(offsets, wanted)


def test_regular_attention_is_softmax_attention():
    torch.manual_seed(0)
    attention = RegularAttention(8, 12, heads=2)
    query, key = torch.randn(1, 4, 8), torch.randn(1, 9, 12)
    q, k, v = attention.wq(query), attention.wk(key), attention.wv(key)
    heads = [
        (q[..., s] @ k[..., s].transpose(1, 2) / math.sqrt(4)).softmax(-1) @ v[..., s]
        for s in (slice(0, 4), slice(4, 8))
    ]
    torch.testing.assert_close(attention(query, key, (2, 2), (3, 3)), attention.proj(torch.cat(heads, -1)))


def test_feed_forward_convolves_on_the_token_grid():
    torch.manual_seed(0)
    ffn = ConvFFN(4, 2)
    x = torch.zeros(1, 12, 4)
    changed = x.clone()
    changed[0, 5] = 1.0  # row 1, column 1 of a 3 x 4 grid
    touched = (ffn(changed, (3, 4)) - ffn(x, (3, 4))).abs().amax(-1)[0].reshape(3, 4) > 0
    expected = torch.zeros(3, 4, dtype=torch.bool)
    expected[0:3, 0:3] = True
    assert torch.equal(touched, expected)


def test_pairs_read_before_their_interaction_and_after_earlier_pairs():
    torch.manual_seed(0)
    pairs = [(0, 1), (1, 0), (1, 2), (2, 1)]
    interaction = InteractionLayer([8, 12, 16], pairs, OPTIONS)
    perturb(interaction)
    grids = [(4, 4), (3, 3), (2, 2)]
    features = [torch.randn(1, h * w, c) for (h, w), c in zip(grids, (8, 12, 16), strict=True)]
    kept = [x.clone() for x in features]

    def run(a: int, q: int, xs: list[torch.Tensor]) -> torch.Tensor:
        return interaction.directions[f"{a}_{q}"](xs[q], xs[a], grids[q], grids[a])

    first = [run(1, 0, features), run(0, 1, features), features[2]]
    expected = [first[0], run(2, 1, first), run(1, 2, first)]
    for got, want in zip(interaction(features, grids), expected, strict=True):
        torch.testing.assert_close(got, want)
    assert all(torch.equal(x, y) for x, y in zip(features, kept, strict=True)), "the inputs must not change"

"""Counts of small modules against counts by hand."""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from piip_explore.cost.counts import Counts
from piip_explore.cost.trace import COUNTED, FREE, trace
from piip_explore.ops import deformable_attention


class Function(nn.Module):
    """A module without parameters whose forward is a function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def counted(module, *shapes, device="meta"):
    """Return the counts without traffic, which tests/cost/test_traffic.py counts in another way."""
    counts = trace(copy.deepcopy(module).to(device), *(torch.empty(shape, device=device) for shape in shapes))[""]
    return replace(counts, activations=0, moved=0, kept=0)


@pytest.mark.parametrize(
    ("module", "shape", "expected"),
    [
        (nn.Linear(7, 5), (1, 3, 7), Counts(linear=3 * 7 * 5, params=7 * 5 + 5)),
        (nn.Linear(7, 5, bias=False), (7,), Counts(linear=7 * 5, params=7 * 5)),
        (nn.Conv2d(3, 8, 4, 4), (1, 3, 9, 8), Counts(conv=(3 * 16 + 1) * 8 * 2 * 2, params=3 * 16 * 8 + 8)),
        (
            nn.Conv2d(6, 6, 3, padding=1, groups=6, bias=False),
            (1, 6, 5, 7),
            Counts(conv=9 * 6 * 5 * 7, params=9 * 6),
        ),
        (
            nn.Conv2d(4, 6, 3, groups=2, dilation=2),
            (1, 4, 7, 7),
            Counts(conv=(9 * 2 + 1) * 6 * 9, params=9 * 2 * 6 + 6),
        ),
        (
            nn.ConvTranspose2d(3, 5, 2, 2),
            (1, 3, 4, 6),
            Counts(conv=3 * 4 * 5 * 24 + 5 * 4 * 24, params=3 * 4 * 5 + 5),
        ),
        (nn.LayerNorm(6), (1, 4, 6), Counts(norm=2 * 24, params=12)),
        (nn.GroupNorm(2, 6), (1, 6, 2, 2), Counts(norm=2 * 24, params=12)),
        (nn.RMSNorm(6), (1, 4, 6), Counts(params=6)),
        (nn.ReLU(), (1, 4, 6), Counts(relu=24)),
        (nn.ReLU(inplace=True), (1, 4, 6), Counts(relu=24)),
        (nn.GELU(), (1, 4, 6), Counts()),
        (nn.Softmax(-1), (1, 4, 6), Counts()),
        (nn.Identity(), (1, 4, 6), Counts()),
    ],
    ids=lambda value: str(value) if isinstance(value, nn.Module) else "",
)
@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_one_layer(module, shape, expected, device):
    assert counted(module, shape, device=device) == expected


def test_matrix_products():
    assert counted(Function(lambda a, b: a @ b), (2, 3, 5), (2, 5, 7)) == Counts(linear=2 * 3 * 5 * 7)


def test_attention_counts_logits_and_values():
    attend = Function(F.scaled_dot_product_attention)
    queries, keys, values = (1, 2, 5, 8), (1, 2, 3, 8), (1, 2, 3, 4)
    assert counted(attend, queries, keys, values) == Counts(attention=2 * 5 * 3 * (8 + 4))


def test_deformable_attention_counts_five_per_sample_and_channel():
    attend = Function(lambda value, offsets, logits: deformable_attention(value, offsets, logits, (2, 3), (1, 4)))
    shapes = (1, 6, 8), (1, 4, 2, 3, 2), (1, 4, 2, 3)
    assert counted(attend, *shapes) == Counts(deformable=5 * 4 * 3 * 8)


def test_submodules_have_their_own_counts():
    module = nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.GELU(), nn.Linear(8, 2, bias=False)))
    counts = trace(module, torch.empty(1, 3, 4))
    assert counts["0"] == Counts(linear=96, params=40, activations=24, moved=12 + 40 + 24, kept=24)
    last = Counts(linear=48, params=16, activations=6, moved=24 + 16 + 6, kept=6)
    assert counts["1.1"] == last
    assert counts["1"] == last + Counts(kept=24), "and what the GELU makes of its input"
    assert counts[""] == counts["0"] + counts["1"]


def test_work_that_no_output_needs_is_counted():
    linear = nn.Linear(4, 8)

    class Wasteful(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = linear

        def forward(self, x):
            self.linear(x).chunk(2)
            return x

    assert counted(Wasteful(), (1, 4)) == counted(linear, (1, 4))


def test_computing_with_sizes_costs_nothing():
    def fold(x):
        rows, columns = x.shape[-2], x.size(-1)
        half = -(-columns // 2)
        return F.pad(x, (0, 2 * half - columns)).reshape(x.shape[0], rows * 2, half)

    assert counted(Function(fold), (1, 3, 5)) == Counts()


@pytest.mark.parametrize("name", ["fft", "einsum"])
def test_an_operator_without_a_rule_stops_the_count(name):
    function = torch.fft.fft if name == "fft" else lambda x: torch.einsum("ij,kj->ik", x, x)
    with pytest.raises(NotImplementedError, match=r"no rule for what aten::\w+ costs"):
        counted(Function(function), (3, 4))


def test_dropout_and_stochastic_depth_are_off():
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).train()
    assert counted(module, (1, 4)) == Counts(linear=16, params=20)


def test_every_free_operator_says_why_and_none_is_counted():
    assert all(FREE.values())
    assert not set(FREE) & set(COUNTED)

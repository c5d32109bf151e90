"""The operator's count, by hand, and the two counters that must see it under its name."""

import pytest
import torch
from fvcore.nn import FlopCountAnalysis
from torch.utils.flop_counter import FlopCounterMode

from piip_explore.ops import deformable_attention, deformable_attention_macs
from piip_explore.ops.flops import OPERATOR, jit_handle

# 2 images, 4x6 queries, 3 heads of width 6, 4 points: 5 * (2 * 24) * 4 * 18 multiply-adds.
MACS = 17_280


class Attend(torch.nn.Module):
    def forward(self, value, offsets, logits):
        return deformable_attention(value, offsets, logits, (7, 5), (4, 6))


def arguments(device):
    shapes = [(2, 35, 18), (2, 24, 3, 4, 2), (2, 24, 3, 4)]
    return tuple(torch.randn(shape, device=device, requires_grad=True) for shape in shapes)


def test_the_count_by_hand():
    assert deformable_attention_macs((2, 35, 18), (2, 24, 3, 4)) == MACS


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_fvcore_meets_one_node_of_that_name(device):
    analysis = FlopCountAnalysis(Attend(), arguments(device)).set_op_handle(OPERATOR, jit_handle)
    assert analysis.total() == MACS
    assert not analysis.unsupported_ops()
    graph, _ = torch.jit._get_trace_graph(Attend(), arguments(device))
    assert [node.kind() for node in graph.nodes() if not node.kind().startswith("prim::")] == [OPERATOR]


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_torch_counts_two_per_multiply_add_and_twice_that_backward(device):
    with FlopCounterMode(display=False) as counter:
        Attend()(*arguments(device)).sum().backward()
    assert counter.get_total_flops() == 2 * MACS + 4 * MACS

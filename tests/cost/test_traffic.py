"""What designs write and move, against a forward pass of the built network that is watched call by call."""

from dataclasses import replace
from unittest import mock

import torch
import torch.nn.functional as F
from hypothesis import HealthCheck, example, given, settings
from torch.overrides import TorchFunctionMode

from piip_explore import Design
from piip_explore.cost import Traffic, traffic
from piip_explore.models import build, interaction
from piip_explore.models.pyramid import Pyramid
from tests.cost.designs import designs

ACTIVATING = {F.linear, torch.conv2d, torch.conv_transpose2d, torch.matmul, F.scaled_dot_product_attention}
MOVING = ACTIVATING | {F.layer_norm, F.group_norm, F.relu}


class Watch(TorchFunctionMode):
    """Adds up the elements that calls of the functions above take and return."""

    def __init__(self) -> None:
        super().__init__()
        self.activations = self.moved = self.peak = 0

    def note(self, output, arguments, *, activating):
        tensors = [x for x in (output, *arguments) if isinstance(x, torch.Tensor)]
        self.activations += activating * output.numel()
        self.moved += sum(x.numel() for x in tensors)
        self.peak = max(self.peak, sum(x.numel() for x in tensors if not isinstance(x, torch.nn.Parameter)))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if func in MOVING:
            self.note(output, (*args, *(kwargs or {}).values()), activating=func in ACTIVATING)
        return output


def watched(design: Design) -> Traffic:  # `kept` is for test_saved.py
    with torch.device("meta"):
        network: Pyramid = build(design).eval()
    watch, attend = Watch(), interaction.deformable_attention

    def deformable_attention(*arguments):
        output = attend(*arguments)
        watch.note(output, arguments, activating=True)
        return output

    with torch.no_grad(), watch, mock.patch.object(interaction, "deformable_attention", deformable_attention):
        network(torch.empty(1, 3, design.resolution, design.resolution, device="meta"))
    return replace(traffic(design), activations=watch.activations, moved=watch.moved, peak=watch.peak)


@settings(deadline=None, max_examples=50, suppress_health_check=list(HealthCheck), print_blob=True)
@given(designs())
@example(Design.parse("vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads"))
@example(Design.parse("convnext_tiny@140 vit_tiny@112:w3; interactions=12; merge=conv; project=no"))
@example(Design.parse("vit[depth=5,dim=64,heads=4,patch=8]@32:w3"))
@example(Design.parse("dinov3_small_plus@208:w6g2 pe_core_tiny@96 dinov2_reg_small@70; interactions=4; heads=4"))
@example(Design.parse("beit_base@208:w6g2 clip_base@96; interactions=4; heads=4; merge=conv-multilevel"))
def test_traffic_is_that_of_the_watched_network(design):
    assert traffic(design) == watched(design)


def test_traffic_of_one_block_by_hand():
    """Its norms, qkv, attention, projection and two linear layers; a design with one block more has so much more."""
    one, two = (traffic(Design.parse(f"vit[depth={depth},dim=32,heads=2]@64")) for depth in (1, 2))
    tokens, dim = 16, 32
    assert two.activations - one.activations == (3 + 1 + 1 + 4 + 1) * tokens * dim
    maps = (1 + 1) + (1 + 3) + (3 + 1) + (1 + 1) + (1 + 1) + (1 + 4) + (4 + 1)
    weights = 2 * dim + 3 * (dim + 1) * dim + (dim + 1) * dim + 2 * dim + 4 * (dim + 1) * dim + (4 * dim + 1) * dim
    assert one.peak == two.peak == 3 * 64 * 64 + tokens * dim, "the embedding, which reads the image"
    assert two.moved - one.moved == maps * tokens * dim + weights

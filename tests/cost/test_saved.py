"""What training keeps: by hand, as real networks save it, and the sum of the parts against the whole network."""

from contextlib import nullcontext

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from piip_explore import Design
from piip_explore.cost import traffic
from piip_explore.cost.saved import FusedAttention, saved
from piip_explore.models import build


def test_a_linear_layer_and_a_gelu_keep_what_lies_between_and_the_output():
    module = nn.Sequential(nn.Linear(3, 5), nn.GELU(), nn.Linear(5, 2))
    assert saved(module, torch.empty(7, 3)) == {"0": 35, "1": 35, "2": 14, "": 35 + 35 + 14}


def test_a_block_by_hand():
    """What its norms, linear layers, attention, LayerScales, GELU and additions write, and what fused kernels note."""
    one, two = (traffic(Design.parse(f"vit[depth={depth},dim=32,heads=2]@64")).kept for depth in (1, 2))
    tokens, dim, heads = 16, 32, 2
    attention = 1 + 3 + 1 + 1 + 1  # norm, qkv, attention, projection (for the LayerScale), sum
    mlp = 1 + 4 + 4 + 1 + 1  # norm, linear, GELU, linear (for the LayerScale), sum
    noted = 2 + 2 + heads  # mean and deviation of either norm, the softmax's sum of every head
    assert two - one == (attention + mlp) * tokens * dim + noted * tokens


@pytest.mark.parametrize("heads", [(), (2,)])
def test_attention_is_called_in_any_way_that_pytorch_takes(heads):
    """Another package's model may pass a mask by its place, and has no heads or any."""
    q = k = v = torch.empty(3, *heads, 5, 4)
    mask = torch.empty(5, 5)

    class Attention(nn.Module):
        def forward(self, q):
            by_place = F.scaled_dot_product_attention(q, k, v, mask, 0.0, False)
            return by_place, F.scaled_dot_product_attention(query=q, key=k, value=v, attn_mask=mask)

    found = saved(Attention(), q.requires_grad_())
    noted = q.numel() // 4
    assert found[""] == 2 * (q.numel() + noted) + mask.numel()


def watched(design, device, attention=nullcontext):
    """Return the elements that the whole network, as it is built, keeps: what is saved, and its outputs."""
    with torch.device(device):
        network = build(design).eval()
    image = torch.zeros(1, 3, design.resolution, design.resolution, device=device)
    storages = {}

    def save(tensor):
        storages[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with attention(), torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        output = network(image)
    for tensor in output if isinstance(output, list) else [output]:
        save(tensor)
    for tensor in (image, *network.parameters(), *network.buffers()):
        storages.pop(tensor.untyped_storage()._cdata, None)
    return sum(tensor.untyped_storage().nbytes() // tensor.element_size() for tensor in storages.values())


@pytest.mark.parametrize("text", ["vit[depth=2,dim=32,heads=2]@64", "convnext[depths=1-1-2-1,dims=8-16-32-64]@64"])
def test_a_branch_keeps_what_the_running_network_saves(text):
    """On a CPU, whose attention is fused as it is on a GPU."""
    design = Design.parse(text)
    assert traffic(design).kept == watched(design, "cpu")


@pytest.mark.parametrize(
    "text",
    [
        "vit_tiny@224 vit_small@112; interactions=0",
        "vit_tiny@448:w7 vit_small@224 vit_base@112",
        "convnext_tiny@224 vit_small@112; merge=conv",
        "beit_base@208:w6g2 clip_base@96; interactions=4",
        "vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads",
    ],
)
def test_the_parts_keep_nearly_what_the_whole_network_keeps(text):
    """What comes between parts is counted in none: scaled images, maps resized to be summed, and their sum."""
    design = Design.parse(text)
    assert 0.97 <= traffic(design).kept / watched(design, "meta", FusedAttention) <= 1

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.models.llava import LlavaEncoder

TEXT = (
    "convnext[depths=1-1-1-1,dims=16-16-32-64]@128 vit[depth=2,dim=32,heads=2]@64; interactions=2; heads=2; merge=none"
)


def test_tokens_are_the_sum_of_both_projections_on_the_high_resolution_grid() -> None:
    torch.manual_seed(0)
    encoder = LlavaEncoder(Design.parse(TEXT), 64).eval()
    images = torch.randn(2, 3, 128, 128)
    tokens = encoder(images)
    assert tokens.shape == (2, 4 * 4, 64)  # the ConvNeXt's final grid, stride 32
    high, low = encoder.encoder(images)
    assert low.shape[2:] == (4, 4)
    total = torch.zeros(2, 16, 64)
    for x, (first, norm, _, last) in zip((high, low), encoder.projectors, strict=True):
        y = F.linear(x.flatten(2).transpose(1, 2), first.weight, first.bias).transpose(1, 2)
        y = F.group_norm(y, 32, norm.weight, norm.bias, 1e-5).transpose(1, 2)
        total += F.linear(F.gelu(y), last.weight, last.bias)
    assert torch.allclose(tokens, total, atol=1e-5)


def test_the_low_resolution_map_is_resized() -> None:
    design = Design.parse(
        "vit[depth=2,dim=32,heads=2]@64 vit[depth=2,dim=64,heads=2]@32; interactions=2; heads=2; merge=none"
    )
    assert LlavaEncoder(design, 32)(torch.randn(1, 3, 64, 64)).shape == (1, 16, 32)


@pytest.mark.parametrize("text", ["vit_tiny@64", "vit_tiny@64 vit_tiny@32; interactions=2"])
def test_other_designs_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="LLaVA encoder"):
        LlavaEncoder(Design.parse(text), 32)

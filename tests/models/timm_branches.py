"""What timm's own models give on made weights: `python -m tests.models.timm_branches` writes it to the file beside.

The weights and images are NumPy's for a seed, so that the file holds names, shapes and a few values of outputs alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from piip_explore import catalog
from piip_explore.models.vit import VisionTransformer
from piip_explore.models.weights import load_branch

FILE = Path(__file__).parent / "parity" / "timm_branches.json"
SIZES = {"depth": 2, "dim": 48, "heads": 2}
CASES = {
    "dinov2_reg_small": ("vit_small_patch14_reg4_dinov2", (56, 56)),
    "dinov2_reg_giant": ("vit_giant_patch14_reg4_dinov2", (42, 42)),
    "dinov3_small": ("vit_small_patch16_dinov3", (80, 48)),
    "dinov3_small_plus": ("vit_small_plus_patch16_dinov3_qkvb", (48, 96)),
    "siglip2_base": ("vit_base_patch16_siglip_224", (64, 64)),
    "siglip2_so400m": ("vit_so400m_patch16_siglip_256", (48, 48)),
    "pe_core_base": ("vit_pe_core_base_patch16_224", (224, 224)),
    "pe_spatial_large": ("vit_pe_spatial_large_patch14_448", (448, 448)),
}
"""Models of the catalog, timm's names for them, and the images (height, width) that they are compared on."""


def spec(model: str) -> catalog.ViT:
    found = catalog.MODELS[model]
    assert isinstance(found, catalog.ViT)
    return replace(found, **SIZES)


def made(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Return random weights of these shapes, the same on every machine."""
    numbers = np.random.RandomState(0)
    return {name: torch.from_numpy(numbers.normal(0, 0.2, shapes[name])).float() for name in sorted(shapes)}


def images(model: str) -> Tensor:
    height, width = CASES[model][1]
    return torch.from_numpy(np.random.RandomState(1).normal(0, 1, (1, 3, height, width))).float()


def few(tokens: Tensor) -> list[float]:
    """Return some of the values of (1, N, C): of the first tokens, of the last one, and the mean of squares."""
    picked = [*tokens[0, :6, :2].flatten(), *tokens[0, -1, -4:], tokens.square().mean()]
    return [round(float(value), 6) for value in picked]


def ours(model: str, state: Mapping[str, Tensor]) -> Tensor:
    """Return the tokens (1, N, C) that our branch gives with timm's weights."""
    height = CASES[model][1][0]
    branch = VisionTransformer(spec(model), height // spec(model).patch, class_token=spec(model).class_token)
    load_branch(branch, state)
    with torch.no_grad():
        x, grid = branch.embed(images(model))
        return branch.run(x, grid, 0, SIZES["depth"])[0]


def theirs(model: str) -> tuple[dict[str, Tensor], Tensor]:
    """Return the weights of timm's model, and the tokens that it gives before its last norm."""
    import timm

    name, size = CASES[model]
    sizes = {"embed_dim": SIZES["dim"], "depth": SIZES["depth"], "num_heads": SIZES["heads"]}
    network: Any = timm.create_model(name, img_size=size, num_classes=0, **sizes).eval()
    state = made({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()})
    network.load_state_dict(state)
    network.norm = torch.nn.Identity()
    with torch.no_grad():
        return state, network.forward_features(images(model))


def stored() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(FILE.read_text())
    return content


def entry(state: Mapping[str, Tensor], tokens: Tensor) -> dict[str, Any]:
    return {"shapes": {name: list(tensor.shape) for name, tensor in sorted(state.items())}, "values": few(tokens)}


if __name__ == "__main__":
    lines = [f"{json.dumps(model)}: {json.dumps(entry(*theirs(model)), separators=(',', ':'))}" for model in CASES]
    FILE.write_text("{" + ",\n".join(lines) + "}\n")

"""AdamW as the published configs set it, and the rate at every step."""

from __future__ import annotations

import math
from typing import Any

from torch import nn, optim

from piip_explore.export.recipe import Recipe
from piip_explore.models.pyramid import Pyramid
from piip_explore.models.vit import VisionTransformer


def make(network: nn.Module, pyramid: Pyramid, recipe: Recipe) -> optim.AdamW:
    """Return AdamW over a network: groups by their factor of the rate (`scale`) and their weight decay."""
    scales = rate_scales(pyramid, recipe)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            decays = parameter.ndim > 1 and not name.endswith(("pos_embed", "cls_token", "reg_token"))
            key = (scales.get(id(parameter), recipe.new_lr_scale), recipe.weight_decay * decays)
            groups.setdefault(key, []).append(parameter)
    made: list[dict[str, Any]] = [
        {"params": parameters, "scale": scale, "weight_decay": decay} for (scale, decay), parameters in groups.items()
    ]
    return optim.AdamW(made, lr=recipe.lr)


def rate_scales(pyramid: Pyramid, recipe: Recipe) -> dict[int, float]:
    """Return the factor of the rate of every branch's parameters, by their id.

    In a ViT branch the rate falls by `layer_decay` per layer, from the last block down to the embedding. A branch's
    layers are counted as so many of the lowest resolution's branch, whose depth they share. ConvNeXt branches have no
    decay of layers, as in the published configs.
    """
    branches = list(pyramid.branches)
    lowest = branches[min(range(len(branches)), key=lambda i: (pyramid.resolutions[i], -_depth(branches[i])))]
    layers = _depth(lowest) or max(map(_depth, branches))
    scales: dict[int, float] = {}
    for branch in branches:
        depth = _depth(branch)
        for name, parameter in branch.named_parameters():
            layer = float(layers)
            if isinstance(branch, VisionTransformer):
                layer = (int(name.split(".")[1]) + 1) * layers / depth if name.startswith("blocks.") else 0.0
            scales[id(parameter)] = recipe.layer_decay ** (layers + 1 - layer) if depth else 1.0
    return scales


def _depth(branch: nn.Module) -> int:
    return branch.spec.depth if isinstance(branch, VisionTransformer) else 0


def rate(recipe: Recipe, step: int, steps: int, per_epoch: int) -> float:
    """Return the share of the highest rate at a step (from 0) of a run."""
    warm = min(round(recipe.warmup_epochs * per_epoch), steps - 1)
    if step < warm:
        return (step + 1) / (warm + 1)
    if recipe.schedule == "steps":
        return 0.1 ** ((step >= steps * 2 // 3) + (step >= steps * 11 // 12))
    done = (step - warm) / (steps - warm)
    return 1 - done if recipe.schedule == "poly" else 0.5 * (1 + math.cos(math.pi * done))


def set_rate(optimizer: optim.Optimizer, value: float) -> None:
    """Set the learning rate, times the factor of every group."""
    for group in optimizer.param_groups:
        group["lr"] = value * group["scale"]

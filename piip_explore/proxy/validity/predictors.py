"""Cheap ways to rank designs, which a proxy must beat: FLOPs, parameters, a regression, training-free indicators."""

from __future__ import annotations

import numpy as np
import torch

from piip_explore import cost
from piip_explore.design import Design
from piip_explore.proxy.network import Network
from piip_explore.proxy.presets import Preset

_PENALTY = 1.0
_IMAGES = 16


def params(designs: tuple[Design, ...]) -> np.ndarray:
    """Return published parameter counts per design."""
    return np.array([cost.count(design, accounting="published").params for design in designs], float)


def ridge(designs: tuple[Design, ...], value: np.ndarray, table: tuple[str, ...]) -> np.ndarray:
    """Return each row's metric as a ridge regression on the other rows of its table predicts it (leave one out).

    Features: logarithms of the highest and the lowest resolution and of the parameters, standardised; penalty 1.
    """
    sides = [[branch.resolution for branch in design.branches] for design in designs]
    features = np.log(np.column_stack([[max(s) for s in sides], [min(s) for s in sides], params(designs)]))
    names = np.array(table)
    predicted = np.full(len(designs), np.nan)
    for row in range(len(designs)):
        rest = (names == names[row]) & (np.arange(len(designs)) != row)
        if rest.sum() >= 2:
            predicted[row] = _fit_and_predict(features[rest], value[rest], features[row])
    return predicted


def _fit_and_predict(features: np.ndarray, value: np.ndarray, at: np.ndarray) -> float:
    center, scale = features.mean(0), features.std(0) + 1e-9
    X = (features - center) / scale
    weights = np.linalg.solve(X.T @ X + _PENALTY * np.eye(X.shape[1]), X.T @ (value - value.mean()))
    return float(value.mean() + (at - center) / scale @ weights)


def training_free(design: Design, preset: Preset) -> dict[str, float]:
    """Return indicators of the untrained shrunken network, from one batch of the preset's images.

    `gradient norm`: of the loss. `snip`: the sum over weights of |weight x gradient| (Lee et al., arXiv 1810.02340).
    """
    torch.manual_seed(0)
    network = Network(preset.shrink(design.sorted()), preset)
    samples = preset.data.load("train", _IMAGES, preset.size, torch.device("cpu"))
    index = torch.arange(len(samples))
    classes = len(preset.data.classes(preset.task.needs))
    preset.task.objective(samples, classes)(network(samples.images), index).backward()
    learned = [p for p in network.parameters() if p.grad is not None]
    gradients = torch.cat([p.grad.flatten() for p in learned if p.grad is not None])
    weights = torch.cat([p.detach().flatten() for p in learned])
    return {"gradient norm": float(gradients.norm()), "snip": float((weights * gradients).abs().sum())}

"""A pool of designs that is made in a moment, and synthetic scores to replay, shaped as the papers' results are.

`synthetic_pool` holds 2,688 designs with costs that need no trace. A score rises with the logarithm of the FLOPs and
saturates; on top come the effects of every choice and of pairs of neighbouring choices, drawn once per seed, and a
small part that no model can learn. The shares are stated below; they make random search reach about 92 % of the true
hypervolume with 100 of 1,500 designs.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from piip_explore.search import pool as pools
from piip_explore.search.evaluators import ReplayEvaluator
from piip_explore.search.pool import Limits, Pool
from piip_explore.space import SearchSpace

Floats = npt.NDArray[np.float64]

COST_GAIN = 12.0
CHOICE_GAIN = 4.0
PAIR_GAIN = 2.0
UNLEARNABLE = 0.3

SPACE = """
name: replayed
branches:
  - {models: [vit_tiny, vit_small], resolutions: [672, 896, 1120, 1344]}
  - {models: [vit_small, vit_base], resolutions: [448, 672, 896]}
  - {models: [vit_base, vit_large], resolutions: [224, 336, 448, 560]}
interactions: [4, 6, 12]
direction: [both, up]
merge: [conv, linear]
constraints: {decreasing_resolution: yes}
"""


@cache
def synthetic_pool(text: str = SPACE, limits: Limits | None = None) -> Pool:
    """Return the pool of a space given as YAML; a design's FLOPs are its weights times its pixels."""
    space = SearchSpace.parse(text, "replayed")
    return pools.build(space, costs_of(space), limits or Limits())


def costs_of(space: SearchSpace) -> dict[str, Floats]:
    """Return the cost columns of every design of a space, by name, (designs,) each; no network is built for them."""
    columns = space.columns()
    codes = columns.branches.astype(int) + 1
    macs = np.array([0.0] + [b.spec.weights * 1e-9 * (b.resolution / 16) ** 2 for b in columns.branch_options])
    weights = np.array([0.0] + [float(b.spec.weights) for b in columns.branch_options])
    interactions = np.array([0 if interaction is None else interaction.count for interaction, _ in columns.settings])
    gflops = macs[codes].sum(axis=1) * (1 + 0.01 * interactions[columns.setting])
    return {"gflops_published": gflops, "gflops_built": 1.02 * gflops, "params": weights[codes].sum(axis=1)}


def synthetic_scores(pool: Pool, seed: int = 0) -> Floats:
    """Return a score (percent) for every design of a pool, (designs,)."""
    rng = np.random.default_rng(seed)
    gflops = np.log(pool.costs["gflops_published"])
    scale = (gflops - gflops.min()) / max(float(np.ptp(gflops)), 1e-9)
    score: Floats = 40.0 + COST_GAIN * (1 - np.exp(-2.5 * scale)) / (1 - np.exp(-2.5))
    codes = pool.codes.astype(np.int64)
    effects = [
        _effect(len(axis.choices), axis.ordered, rng)[column] for axis, column in zip(pool.axes, codes.T, strict=True)
    ]
    score += CHOICE_GAIN * sum(effects) / max(1, len(effects)) ** 0.5
    for i in range(len(pool.axes) - 1):
        table = rng.normal(size=(len(pool.axes[i].choices), len(pool.axes[i + 1].choices)))
        score += PAIR_GAIN * table[codes[:, i], codes[:, i + 1]] / max(1, len(pool.axes) - 1) ** 0.5 / 2
    score += UNLEARNABLE * rng.normal(size=len(pool))
    return score


def _effect(choices: int, ordered: bool, rng: np.random.Generator) -> Floats:
    """The effect of an axis: a smooth hump over numbers, one draw per choice otherwise."""
    if not ordered:
        return rng.normal(size=choices) / 2
    at = np.linspace(-1, 1, choices)
    hump: Floats = rng.normal() * at / 2 - rng.uniform(0.2, 1.0) * (at - rng.uniform(-1, 1)) ** 2
    return hump


def evaluator(
    pool: Pool, seed: int = 0, *, gap: float = 0.0, noise: float = 0.0, delay: float = 0.0
) -> ReplayEvaluator:
    """Return an evaluator that replays the synthetic scores of a (small) pool; dear designs learn slower."""
    scores = synthetic_scores(pool, seed)
    gflops = np.log(pool.costs["gflops_published"])
    appetite = (gflops - gflops.min()) / max(float(np.ptp(gflops)), 1e-9)
    ids = [pool.design(row).id for row in range(len(pool))]
    return ReplayEvaluator(
        dict(zip(ids, scores.tolist(), strict=True)),
        dict(zip(ids, appetite.tolist(), strict=True)),
        gap=gap,
        noise=noise,
        delay=delay,
    )

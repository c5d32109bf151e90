"""Synthetic scores of a pool's designs, to replay: shaped as the papers' results are, with effects to discover.

A score rises with the logarithm of the FLOPs and saturates; on top come the effects of every choice and of pairs of
neighbouring choices, drawn once per seed, and a small part that no model can learn. The shares are stated below; they
make random search reach about 92 % of the true hypervolume with 100 of 1,500 designs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from piip_explore.search.evaluators import ReplayEvaluator
from piip_explore.search.pool import Pool

Floats = npt.NDArray[np.float64]

COST_GAIN = 12.0
CHOICE_GAIN = 4.0
PAIR_GAIN = 2.0
UNLEARNABLE = 0.3


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

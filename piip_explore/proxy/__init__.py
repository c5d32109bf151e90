"""Proxy tasks: small training runs that score a design."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

from piip_explore.design import Design
from piip_explore.device_name import resolve
from piip_explore.proxy.data import DataSource
from piip_explore.proxy.first_weights import first_weights
from piip_explore.proxy.presets import PRESETS, Preset, SupernetRecipe, Weights, preset
from piip_explore.proxy.run import Run
from piip_explore.proxy.score import Conditions, Score, combine
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.trainer import Progress, train

__all__ = [
    "PRESETS",
    "Conditions",
    "Preset",
    "Score",
    "Shrink",
    "SupernetRecipe",
    "Weights",
    "combine",
    "evaluate",
    "preset",
]


def evaluate(
    design: Design,
    preset: Preset,
    *,
    seed: int = 0,
    fidelity: float = 1.0,
    device: str = "auto",
    progress: Progress | None = None,
    resume_dir: Path | None = None,
) -> Score:
    """Train a full-scale design's shrunken form on the preset's task and return its score.

    Args:
        design: the design, at full scale; the preset shrinks it.
        preset: the recipe.
        seed: decides initial weights and the order of the samples, which is the same for every design.
        fidelity: share of the preset's samples to see, from 0 (the first weights are judged as they are) to 1; the
            schedule ends with them.
        device: `auto` (the GPU if there is one), `cpu`, `cuda` or `cuda:N`.
        progress: called during training with samples seen, samples in all, and the smoothed loss; an exception of it
            stops the run.
        resume_dir: folder for checkpoints and the finished score; a run that was killed resumes from there.

    Raises:
        InputError: a design that the task cannot judge, data that cannot be read, a fidelity out of range, a device
            that is not there.
    """
    preset.task.check(design)
    _check(preset.data)
    run = Run(preset.shrink(design.sorted()), preset, seed, fidelity, resolve(device))
    score = train(run, lambda: first_weights(design, run, progress), progress, resume_dir)
    return replace(score, notes=preset.shrink.lost(design))


@cache
def _check(data: DataSource) -> None:
    """Check the data once per process."""
    data.check()

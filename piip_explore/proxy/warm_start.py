"""The weights that a run starts from: branches pre-trained once per model and data, all else fresh.

Sharing a branch's own weights over its resolutions is the mildest form of weight sharing: exchanges, merging and head,
which set the candidates apart, start anew in every run and learn faster (PIIP's recipe: ten times the branches' rate).
"""

from __future__ import annotations

import fcntl
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from piip_explore.design import Branch, Design
from piip_explore.models.layers import to_tokens
from piip_explore.proxy.data.source import cache_dir
from piip_explore.proxy.network import Network
from piip_explore.proxy.presets import WarmStart
from piip_explore.proxy.run import Run
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.trainer import Progress, Training, write_whole

_SEED = 0
"""Of every pre-training: all seeds of a candidate start from the same branches, as from a public checkpoint."""


def first_weights(run: Run, progress: Progress | None = None) -> Network:
    """Return the run's network on the CPU: fresh weights from its seed, branches warm if the preset says so.

    While branches are pre-trained, `progress` is called with no samples seen.
    """
    torch.manual_seed(run.seed)
    network = Network(run.design, run.preset)
    if run.preset.warm_start is not None:
        for branch, module in zip(run.design.branches, network.pyramid.branches, strict=True):
            weights = _pretrained(branch.model, run, run.preset.warm_start, progress)
            if "pos_embed" in weights:
                weights["pos_embed"] = _resampled(weights["pos_embed"], branch.grid)
            # A class token is the one thing that a branch pre-trained on maps does not have.
            missing, unexpected = module.load_state_dict(weights, strict=False)
            assert set(missing) <= {"cls_token"}, missing
            assert not unexpected, unexpected
    return network


def _pretrained(model: str, run: Run, recipe: WarmStart, progress: Progress | None) -> dict[str, Tensor]:
    """Return a branch model's weights from the cache; train them first if they are not there."""
    shrink = run.preset.shrink
    sizes = tuple(shrink(Design((Branch("vit_base", side),))).resolution for side in recipe.resolutions)
    preset = replace(
        run.preset,
        name="warm start",
        shrink=Shrink(1, 1, 1, 1),  # the model is shrunken already, and others that shrink to it share its weights
        samples=recipe.samples,
        rate=recipe.rate,
        fresh_rate=1.0,
        warm_start=None,
    )
    pretraining = Run(Design((Branch(model, max(sizes)),)), preset, _SEED, 1.0, run.device, sizes)
    path = cache_dir() / "branches" / f"{pretraining.key}.safetensors"
    with _lock(path.with_suffix(".lock")):  # of several workers one trains, the others wait for it
        if not path.exists():
            _pretrain(pretraining, path, progress and (lambda _, total, loss: progress(0, run.samples, loss)))
    return load_file(path)


def _pretrain(run: Run, path: Path, progress: Progress | None) -> None:
    torch.manual_seed(run.seed)
    checkpoint = path.with_suffix(".pt")
    training = Training(run, Network(run.design, run.preset), checkpoint)
    status = training.fit(progress)
    if status != "ok":
        raise RuntimeError(f"pre-training '{run.design}' {status}: lower the warm start's rate ({run.preset.rate:g})")
    weights = training.network.pyramid.branches[0].state_dict()
    write_whole(path, lambda part: save_file({k: v.cpu().contiguous() for k, v in weights.items()}, part))
    checkpoint.unlink(missing_ok=True)


def _resampled(position: Tensor, grid: int) -> Tensor:
    """Resample a square position embedding (1, side^2, dim) bicubically to `grid` x `grid`, as the model would."""
    side = math.isqrt(position.shape[1])
    square = position.transpose(1, 2).unflatten(2, (side, side))
    resized = F.interpolate(square, size=(grid, grid), mode="bicubic", align_corners=False)
    return to_tokens(resized)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system frees it if this one dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

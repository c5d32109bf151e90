"""The weights that a run starts from: branches pre-trained once per model and data, all else fresh.

Sharing a branch's own weights over its resolutions is the mildest form of weight sharing: exchanges, merging and head,
which set the candidates apart, start anew in every run and learn faster (PIIP's recipe: ten times the branches' rate).
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.files import write_whole
from piip_explore.models.pyramid import BranchModule
from piip_explore.models.weights import load_branch
from piip_explore.proxy.data.source import cache_dir
from piip_explore.proxy.network import Network
from piip_explore.proxy.presets import WarmStart
from piip_explore.proxy.run import Run
from piip_explore.proxy.shrink import Shrink
from piip_explore.proxy.trainer import Progress, Training

_SEED = 0
"""Of every pre-training: all seeds of a candidate start from the same branches, as from a public checkpoint."""


def first_weights(run: Run, progress: Progress | None = None) -> Network:
    """Return the run's network on the CPU: fresh weights from its seed, branches warm if the preset says so.

    While branches are pre-trained, `progress` is called with no samples seen.

    Raises:
        InputError: a file of weights that the preset names does not fit its branch.
    """
    torch.manual_seed(run.seed)
    network = Network(run.design, run.preset)
    files = {weights.model: weights.path for weights in run.preset.weights}
    for branch, module in zip(run.design.branches, network.pyramid.branches, strict=True):
        assert isinstance(module, BranchModule)
        if branch.model in files:
            load_branch(module, _read(files[branch.model]))
        elif run.preset.warm_start is not None:
            load_branch(module, _pretrained(branch.model, run, run.preset.warm_start, progress))
    return network


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the weights '{path}': {error}") from None


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
        weights=(),
        compile=False,  # the same weights for both, and five sizes are five compilations
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


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system frees it if this one dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield

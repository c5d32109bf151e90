"""How long proxy runs take, before any has run: a rough model of steps on a CPU core, and what the GPU presets aim at.

A step costs a fixed time per image (loading, resizing, the head), per block and interaction (calls of small operations)
and per multiply-accumulate. The constants were fitted to the runs in benchmarks/results/proxy-demo.csv and to the warm
starts in docs/lab-book.md, both on single cores; `slowness` compares them with steps timed on this machine under its
present load.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from piip_explore.catalog import ViT
from piip_explore.design import Branch, Design
from piip_explore.proxy import supernet
from piip_explore.proxy.data import sample_cache
from piip_explore.proxy.data.embedded import EmbeddedScenes
from piip_explore.proxy.network import Network
from piip_explore.proxy.presets import Preset
from piip_explore.proxy.steps import PlainStep, Setting

_IMAGE_SECONDS = 1.4e-3
_CALL_SECONDS = 2e-3
_MACS_PER_SECOND = 22e9
_SCENE_SECONDS = 6.5e-3 / 128**2
_GPU_IMAGES_PER_SECOND = 32768 / 60
_PASSES_PER_STEP = 3  # a step of training, against validating as many images
_TIMED_BATCH = 32
_TIMED_SECONDS = 0.5


def trial_seconds(design: Design, preset: Preset, device: str) -> float:
    """Return about how long a full run of a full-scale design takes on an idle reference core, or on a GPU."""
    if device.startswith("cuda"):
        return preset.samples / _GPU_IMAGES_PER_SECOND
    images = preset.samples + preset.val_images / _PASSES_PER_STEP
    return images / preset.batch * _step_seconds(preset.shrink(design), preset.batch)


def preparation_seconds(designs: Sequence[Design], preset: Preset, device: str) -> dict[str, float]:
    """Return what is made once before full runs of these designs and is not cached yet, with the seconds it takes."""
    found = {}
    kind = torch.device(device.partition(":")[0])
    if isinstance(preset.data, EmbeddedScenes):
        splits = (("train", preset.train_images), ("val", preset.val_images))
        images = sum(n for split, n in splits if not sample_cache.holds(preset.data.key(split, n, preset.size, kind)))
        if images:
            found["scenes"] = images * preset.size**2 * (_SCENE_SECONDS if kind.type == "cpu" else _SCENE_SECONDS / 50)
    if preset.supernet is not None:
        for models, run in supernet.missing(designs, preset, torch.device(device)):
            seconds = run.samples / _GPU_IMAGES_PER_SECOND
            if kind.type == "cpu":
                seconds = run.steps * _step_seconds(run.design, preset.batch)
            found[models] = found.get(models, 0.0) + seconds
    return found


def slowness(design: Design, preset: Preset, threads: int) -> float:
    """Return how many times as long a training step of a full-scale design takes now as on the idle reference core.

    Its network's steps are timed with `threads` CPU threads, on noise and with a stand-in for the loss, which needs no
    data and takes about a second.
    """
    small = preset.shrink(design.sorted())
    recipe = replace(preset, batch=min(preset.batch, _TIMED_BATCH), compile=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return _timed_step(small, recipe) / _step_seconds(small, recipe.batch)
    finally:
        torch.set_num_threads(before)


def _timed_step(small: Design, preset: Preset) -> float:
    """Return the seconds of a training step of a shrunken design on this machine: the median of some."""
    network = Network(small, preset)
    images = torch.randint(256, (preset.batch, 3, preset.size, preset.size), dtype=torch.uint8)
    optimizer = torch.optim.AdamW(network.parameter_groups(preset), fused=True)
    step = PlainStep(Setting(network, images, _stand_in, optimizer, preset.clip, parts=1, autocast=None))
    times = list[float]()
    while len(times) < 3 or sum(times) < _TIMED_SECONDS:
        began = time.perf_counter()
        step(torch.arange(preset.batch), len(times))
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])  # the first one also sets up


def _stand_in(output: object, index: Tensor) -> Tensor:
    """Return a scalar that depends on every output of a network."""
    return torch.stack([leaf.float().square().mean() for leaf in tree_leaves(output)]).sum()


def _step_seconds(small: Design, batch: int) -> float:
    """Return the seconds of a training step of a shrunken design on the idle reference core."""
    calls = sum(branch.spec.blocks for branch in small.branches)
    if small.interaction is not None:
        calls += small.interaction.count * 2 * (len(small.branches) - 1)
    return batch * _IMAGE_SECONDS + calls * _CALL_SECONDS + _PASSES_PER_STEP * batch * _macs(small) / _MACS_PER_SECOND


def _macs(small: Design) -> float:
    """Return about how many multiply-accumulates a shrunken design has; its exact cost would take a trace."""
    branches = small.sorted().branches
    total = sum(map(_branch_macs, branches))
    if len(branches) > 1 and small.merge.kind != "none":
        width, places = branches[-1].spec.out_dim, _grid(branches[0]) ** 2
        convolution = 9 if small.merge.kind in ("conv", "conv-multilevel") else 1
        total += sum(convolution * width * (branch.spec.out_dim + width) * places for branch in branches)
    return total


def _branch_macs(branch: Branch) -> float:
    spec, grid = branch.spec, _grid(branch)
    if not isinstance(spec, ViT):
        return float(spec.weights) * grid**2
    attended = min(grid, branch.window or grid) ** 2
    return grid**2 * (float(spec.weights) + 2 * spec.depth * spec.dim * attended)


def _grid(branch: Branch) -> float:
    return branch.resolution / (branch.spec.patch if isinstance(branch.spec, ViT) else 16)

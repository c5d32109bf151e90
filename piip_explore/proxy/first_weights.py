"""The weights that a run starts from: its part of a supernet, a user's files, or random ones."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.models.file_kinds import weights_kind
from piip_explore.models.pyramid import BranchModule
from piip_explore.models.weights import load_branch
from piip_explore.proxy import supernet
from piip_explore.proxy.network import Network
from piip_explore.proxy.run import Run
from piip_explore.proxy.trainer import Progress


def first_weights(design: Design, run: Run, progress: Progress | None = None) -> Network:
    """Return the network of a run on the CPU with its first weights; `design` is the one at full scale.

    What no supernet or file has a value for starts from the run's seed. While a supernet is trained, `progress` is
    called with no samples seen.

    Raises:
        InputError: a file of weights that the preset names does not fit its branch.
    """
    preset = run.preset
    torch.manual_seed(run.seed)
    network = Network(run.design, preset)
    if preset.supernet is not None:
        if preset.supernet.freezes_branches:
            network.freeze_branches()
        network.load_state_dict(supernet.weights(design, preset, run.seed, run.device, progress), strict=False)
    files = {weights.model: weights.path for weights in preset.weights}
    for branch, module in zip(run.design.branches, network.pyramid.branches, strict=True):
        assert isinstance(module, BranchModule)
        if branch.model in files:
            load_branch(module, _read(files[branch.model]))
    return network


def _read(path: Path) -> dict[str, Tensor]:
    if weights_kind(path) != "safetensors":
        raise InputError(f"'{path}' is a file of PyTorch's: a preset's weights are read from safetensors files")
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot read the weights '{path}': {error}") from None

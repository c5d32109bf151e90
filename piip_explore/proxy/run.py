"""What one training run is: everything that decides its outcome, under one key."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.proxy.presets import Preset
from piip_explore.proxy.score import Conditions, code_version, content_hash


@dataclass(frozen=True)
class Run:
    """What one run is: `design` is the shrunken one, as it is trained. Runs with equal keys are the same run,
    wherever it was interrupted.

    At `fidelity` 0 nothing is trained: the score is that of the first weights.
    """

    design: Design
    preset: Preset
    seed: int
    fidelity: float
    device: torch.device

    def __post_init__(self) -> None:
        if not 0 <= self.fidelity <= 1:
            raise InputError(f"fidelity {self.fidelity:g}: expected a number from 0 to 1")

    @property
    def steps(self) -> int:
        """Optimiser steps; the schedule is stretched over them, so a short run is a complete one."""
        return math.ceil(self.preset.samples * self.fidelity / self.preset.batch)

    @property
    def samples(self) -> int:
        """Images seen in training, with repetitions."""
        return self.steps * self.preset.batch

    @property
    def conditions(self) -> Conditions:
        """What the score will depend on."""
        from piip_explore.ops import backend_name

        cuda = self.device.type == "cuda"
        return Conditions(
            preset=self.preset.name,
            preset_hash=self.preset.hash,
            device=torch.cuda.get_device_name(self.device) if cuda else "cpu",
            code_version=code_version(),
            backend=backend_name(self.device.type),
            torch=torch.__version__,
        )

    @property
    def key(self) -> str:
        """Twelve hexadecimal digits over all of the above."""
        return content_hash([self.design.id, self.seed, self.fidelity, asdict(self.conditions)])

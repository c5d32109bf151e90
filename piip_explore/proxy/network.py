"""What a proxy run trains: a shrunken design with a task's head, and how its parameters learn."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from piip_explore import models
from piip_explore.design import Design
from piip_explore.models.convnext import ConvNeXtBlock
from piip_explore.models.interaction import DirectedInteraction
from piip_explore.models.merging import MapMerge, WeightedSum
from piip_explore.models.vit import Block
from piip_explore.proxy.presets import Preset

_COMPILED = (Block, ConvNeXtBlock, DirectedInteraction)

_COMPILED_VARIANTS = 4096
"""Compilations of one kind of block that a process keeps; at PyTorch's 8 a second design would run uncompiled."""


class Trainable(nn.Module):
    """What a run trains: images (B, 3, S, S) in 0..255 and the number of the step to the head's output.

    `steady` says whether every step runs the same kernels on tensors of the same shapes.
    """

    steady = False

    def parameter_groups(self, preset: Preset) -> list[dict[str, object]]:
        """Return AdamW's groups with their `peak` rates."""
        raise NotImplementedError


class Network(Trainable):
    """A design and a task's head: images (B, 3, S, S) in 0..255 to the head's output.

    The images are resized, with antialiasing, to the largest branch's resolution, as a data loader would have.
    """

    def __init__(self, design: Design, preset: Preset) -> None:
        super().__init__()
        classes = len(preset.data.classes(preset.task.needs))
        self.resolution = design.resolution
        self.steady = not preset.compile  # compiled blocks are called as they are
        self.pyramid = models.build(design, num_classes=preset.task.classes_in_model(classes))
        self.head: nn.Module = nn.Identity()
        if preset.task.classes_in_model(classes) is None:
            self.head = preset.task.head(self._channels(design), classes)
        if preset.compile:
            self._compile()

    def forward(self, images: Tensor, step: int = 0) -> Tensor:
        """Return the head's output, at every `step` of a run that of the same design."""
        size = (self.resolution, self.resolution)
        images = (images.float() - 127.5) / 64
        images = nn.functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        output: Tensor = self.head(self.pyramid(images))
        return output

    def freeze_branches(self) -> None:
        """Train interactions, merging and head alone; interactions then learn from their first steps on.

        What a branch can learn it need not be told by another. Beside frozen ones, only interactions can bring it.
        """
        self.pyramid.branches.requires_grad_(False)
        for module in self.modules():
            if isinstance(module, DirectedInteraction):
                module.start_from_projections()

    def _compile(self) -> None:
        """Compile block by block: blocks of one kind and shape share the code, among candidates too."""
        limits = torch._dynamo.config
        limits.recompile_limit = max(limits.recompile_limit, _COMPILED_VARIANTS)
        limits.accumulated_recompile_limit = max(limits.accumulated_recompile_limit, _COMPILED_VARIANTS)
        for module in self.modules():
            if isinstance(module, _COMPILED):
                module.compile(dynamic=False)

    def _channels(self, design: Design) -> list[int]:
        """Return the widths of the maps that the head reads."""
        merge = self.pyramid.merge
        if isinstance(merge, MapMerge):
            widths = [level.dim for level in cast("list[WeightedSum]", list(merge.sums))]
            return widths * 4 if merge.pyramid is not None and len(widths) == 1 else widths
        return [design.branches[index].spec.out_dim for index in merge.out]

    def parameter_groups(self, preset: Preset) -> list[dict[str, object]]:
        """Return AdamW's groups with their `peak` rates: branches at the base rate, what starts fresh faster.

        Vectors (norms, biases, scales) have no weight decay.
        """
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                key = (name.startswith("pyramid.branches."), parameter.ndim > 1)
                groups.setdefault(key, []).append(parameter)
        return [
            {
                "params": parameters,
                "peak": preset.rate * (1 if branch else preset.fresh_rate),
                "weight_decay": preset.weight_decay if matrix else 0.0,
            }
            for (branch, matrix), parameters in groups.items()
        ]

"""What a proxy run trains: a shrunken design with a task's head, and how its parameters learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from piip_explore import models
from piip_explore.design import Design
from piip_explore.models.convnext import ConvNeXtBlock
from piip_explore.models.interaction import Direction
from piip_explore.models.vit import Block
from piip_explore.proxy.presets import Preset

_COMPILED = (Block, ConvNeXtBlock, Direction)


class Network(nn.Module):
    """A design and a task's head: images (B, 3, S, S) in 0..255 to the head's output.

    The images are resized, with antialiasing, to the largest branch's resolution, as a data loader would have.
    """

    def __init__(self, design: Design, preset: Preset) -> None:
        super().__init__()
        classes = len(preset.data.classes(preset.task.needs))
        self.resolution = design.resolution
        self.pyramid = models.build(design, num_classes=preset.task.classes_in_model(classes))
        self.head: nn.Module = nn.Identity()
        if preset.task.classes_in_model(classes) is None:
            self.head = preset.task.head(self._channels(), classes)
        if preset.compile:
            self._compile()

    def forward(self, images: Tensor, resolution: int | None = None) -> Tensor:
        """Return the head's output; `resolution` stands in for the design's own."""
        side = resolution or self.resolution
        size = (side, side)
        images = (images.float() - 127.5) / 64
        images = nn.functional.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        output: Tensor = self.head(self.pyramid(images))
        return output

    def _compile(self) -> None:
        """Compile block by block: blocks of one kind and shape share the code, among candidates too."""
        for module in self.modules():
            if isinstance(module, _COMPILED):
                module.compile(dynamic=False)

    @torch.no_grad()
    def _channels(self) -> list[int]:
        maps = self.pyramid(torch.zeros(1, 3, self.resolution, self.resolution))
        return [x.shape[1] for x in maps]

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

"""Object detection: a light anchor-free head, focal and IoU losses, COCO box AP.

Every position of three square maps predicts class scores and the distances to the four sides of a box, as in FCOS
(arXiv 1904.01355). The maps' sizes are the same for every design.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.models.layers import group_norm
from piip_explore.proxy.data.source import Annotation, Samples
from piip_explore.proxy.tasks.boxes import detections, generalized_iou
from piip_explore.proxy.tasks.coco import AveragePrecision
from piip_explore.proxy.tasks.heads import Fusion
from piip_explore.proxy.tasks.task import Predicted

_LEVELS = 3
_CENTER = 1.5
"""A position learns a box if it is within this many strides of the box's centre."""
_BASE = 4.0
"""Level k learns boxes whose longer side is up to this many of its strides; the last level all larger ones."""
_PRIOR = 0.02
_CHUNK = 256
_NONE = -1


@dataclass(frozen=True)
class Detection:
    """Find and classify objects.

    The head works on maps of `dim` channels at `head_size`, a half and a quarter of it, the same for every design.
    """

    head_size: int = 32
    dim: int = 32

    name: ClassVar[str] = "detection"
    metric: ClassVar[str] = "AP"
    needs: ClassVar[Annotation] = "boxes"

    def check(self, design: Design) -> None:
        """Refuse a design whose output is not a map."""
        if design.merge.kind == "separate-heads":
            raise InputError(f"'{design}': merge=separate-heads returns class scores; detection needs maps")

    def classes_in_model(self, classes: int) -> int | None:
        """Return None: objects are classified by the head."""
        return None

    def head(self, channels: list[int], classes: int) -> nn.Module:
        """Return fusion, two coarser levels, and towers shared by the levels."""
        return DetectionHead(Fusion(channels, self.dim, self.head_size), self.dim, classes)

    def objective(self, samples: Samples, classes: int) -> BoxLoss:
        """Return focal and generalised-IoU loss over the samples' boxes."""
        return BoxLoss(samples, self.head_size)

    def evaluation(self, samples: Samples, classes: int) -> AveragePrecision:
        """Return an empty list of detections."""
        return AveragePrecision(samples, classes)

    def predicted(self, output: object, samples: Samples) -> Predicted:
        """Return the most confident detections, as many per image as it has true boxes, and their mean score.

        A threshold on scores would hide most runs' detections: after seconds of training scores are low.
        """
        assert isinstance(output, Tensor)
        boxes, scores, kinds, kept = detections(output.float())
        shown = kept & (kept.cumsum(1) <= samples.box_start.diff()[:, None])
        counts = shown.sum(1)
        found = replace(
            samples,
            boxes=boxes[shown] * samples.size,
            box_classes=kinds[shown],
            box_start=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        )
        return Predicted(found, (scores * shown).sum(1) / counts.clamp(min=1))


class DetectionHead(nn.Module):
    """Maps to a prediction per position: class logits and a box, (B, P, classes + 4), boxes in units of the image."""

    def __init__(self, fusion: Fusion, dim: int, classes: int) -> None:
        super().__init__()
        self.fusion = fusion
        self.coarser = nn.ModuleList(
            nn.Sequential(nn.Conv2d(dim, dim, 3, stride=2, padding=1), group_norm(dim), nn.GELU())
            for _ in range(_LEVELS - 1)
        )
        self.tower = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, bias=False), group_norm(dim), nn.GELU())
        self.predict = nn.Conv2d(dim, classes + 4, 3, padding=1)
        nn.init.normal_(self.predict.weight, std=0.01)
        # At first every position predicts no object, with the confidence that suits focal loss.
        prior = -math.log((1 - _PRIOR) / _PRIOR)
        self.predict.bias = nn.Parameter(torch.tensor([prior] * classes + [0.0] * 4))
        centers, strides = positions(fusion.size[0])
        self.register_buffer("centers", centers, persistent=False)
        self.register_buffer("strides", strides, persistent=False)

    centers: Tensor
    strides: Tensor

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return predictions (B, P, classes + 4) over the positions of all levels."""
        levels = [self.fusion(maps)]
        for step in self.coarser:
            levels.append(step(levels[-1]))
        raw = torch.cat([self.predict(self.tower(x)).flatten(2) for x in levels], 2).transpose(1, 2).float()
        reach = self.strides[:, None] * raw[..., -4:].clamp(max=6).exp()
        boxes = torch.cat([self.centers - reach[..., :2], self.centers + reach[..., 2:]], -1)
        return torch.cat([raw[..., :-4], boxes], -1)


def positions(size: int) -> tuple[Tensor, Tensor]:
    """Return the positions' centres (P, 2) and strides (P,) of all levels, in units of the image's side."""
    centers, strides = [], []
    for level in range(_LEVELS):
        side = -(-size // 2**level)
        axis = (torch.arange(side) + 0.5) / side
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        centers.append(torch.stack([x.flatten(), y.flatten()], 1))
        strides.append(torch.full((side * side,), 1 / side))
    return torch.cat(centers), torch.cat(strides)


class BoxLoss:
    """Focal loss on every position's class and generalised-IoU loss on the boxes of those that hold an object.

    Positions are assigned to objects once for all samples: those in a box, near its centre, on the level of the box's
    size; of several objects the smallest counts.
    """

    def __init__(self, samples: Samples, size: int) -> None:
        self.centers, self.strides = (x.to(samples.images.device) for x in positions(size))
        parts = [self._assign(samples, first) for first in range(0, len(samples), _CHUNK)]
        self.kinds = torch.cat([kinds for kinds, _ in parts])
        self.boxes = torch.cat([boxes for _, boxes in parts])

    def __call__(self, output: object, index: Tensor) -> Tensor:
        """Return the loss of predictions (B, P, classes + 4) for the samples at `index`."""
        assert isinstance(output, Tensor)
        logits, boxes = output[..., :-4].float(), output[..., -4:].float()
        kinds, targets = self.kinds[index].long(), self.boxes[index]
        held = kinds != _NONE
        wanted = (kinds[..., None] == torch.arange(logits.shape[-1], device=kinds.device)).float()
        count = held.sum().clamp(min=1)
        # Positions are weighted, not selected: shapes stay fixed, and the device never waits.
        distance = (1 - generalized_iou(boxes, targets)) * held
        return (focal_loss(logits, wanted).sum() + distance.sum()) / count

    def _assign(self, samples: Samples, first: int) -> tuple[Tensor, Tensor]:
        """Return the kind (B, P), -1 for none, and the box (B, P, 4) that each position learns."""
        boxes, kinds, real = padded(samples, first, min(first + _CHUNK, len(samples)))
        centers, strides = self.centers[:, None], self.strides[:, None]
        middle, side = (boxes[..., :2] + boxes[..., 2:]) / 2, (boxes[..., 2:] - boxes[..., :2]).amax(-1)
        near = (centers - middle[:, None]).abs().amax(-1) < _CENTER * strides
        inside = ((centers > boxes[:, None, :, :2]) & (centers < boxes[:, None, :, 2:])).all(-1)
        lowest = torch.where(strides == strides.min(), 0.0, _BASE / 2 * strides)
        highest = torch.where(strides == strides.max(), 2.0, _BASE * strides)
        fits = (side[:, None] > lowest) & (side[:, None] <= highest)
        cost = torch.where(near & inside & fits & real[:, None], side[:, None], torch.inf)
        best = cost.min(-1)
        kind = torch.where(best.values.isfinite(), kinds.gather(1, best.indices), _NONE)
        box = boxes.gather(1, best.indices[..., None].expand(-1, -1, 4))
        return kind.to(torch.int16), box


def padded(samples: Samples, first: int, last: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes (B, M, 4) in units of the image, kinds (B, M) and which are real, M at least 1."""
    start = samples.box_start[first : last + 1]
    counts = start.diff()
    most = max(1, int(counts.max()))
    real = torch.arange(most, device=counts.device) < counts[:, None]
    boxes = torch.zeros(*real.shape, 4, device=counts.device)
    kinds = torch.zeros_like(real, dtype=torch.int64)
    rows = slice(int(start[0]), int(start[-1]))
    boxes[real] = samples.boxes[rows] / samples.size
    kinds[real] = samples.box_classes[rows]
    return boxes, kinds, real


def focal_loss(logits: Tensor, wanted: Tensor, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Return the focal loss (arXiv 1708.02002) per element of logits and 0/1 targets of one shape."""
    plain = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    missed = torch.abs(wanted - logits.sigmoid())
    return torch.where(wanted > 0, alpha, 1 - alpha) * missed**gamma * plain

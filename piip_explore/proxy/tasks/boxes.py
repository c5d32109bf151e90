"""Boxes `x0, y0, x1, y1`: intersection over union, non-maximum suppression and a head's detections, batched."""

from __future__ import annotations

import torch
from torch import Tensor

_CANDIDATES = 200
_SUPPRESS = 0.6


def area(boxes: Tensor) -> Tensor:
    """Return the areas of boxes (..., 4); negative sides count as zero."""
    return (boxes[..., 2] - boxes[..., 0]).clamp(min=0) * (boxes[..., 3] - boxes[..., 1]).clamp(min=0)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersections of boxes a and b (..., 4), which broadcast."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    return area(torch.cat([low, high], -1))


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return intersection over union of boxes a and b (..., 4), which broadcast."""
    both = overlap(a, b)
    return both / (area(a) + area(b) - both).clamp(min=1e-9)


def generalized_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the generalised IoU (Rezatofighi et al., arXiv 1902.09630) of boxes a and b (..., 4), in -1..1."""
    both = overlap(a, b)
    union = area(a) + area(b) - both
    hull = torch.cat([torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])], -1)
    around = area(hull).clamp(min=1e-9)
    return both / union.clamp(min=1e-9) - (around - union) / around


def suppress(boxes: Tensor, classes: Tensor, limit: float) -> Tensor:
    """Return which boxes greedy non-maximum suppression keeps, (B, K) bool.

    Args:
        boxes: (B, K, 4), in falling order of their scores.
        classes: (B, K); only boxes of one class suppress each other.
        limit: a box that overlaps a kept one by a higher IoU goes.
    """
    same = classes[:, :, None] == classes[:, None, :]
    clash = (iou(boxes[:, :, None], boxes[:, None, :]) > limit) & same
    keep = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for k in range(1, boxes.shape[1]):
        keep[:, k] = ~(clash[:, k, :k] & keep[:, :k]).any(1)
    return keep


def detections(output: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return boxes (B, K, 4), scores (B, K), kinds (B, K) and which survive suppression, best first."""
    scores, boxes = output[..., :-4].sigmoid(), output[..., -4:]
    classes = scores.shape[-1]
    best = scores.flatten(1).topk(min(_CANDIDATES, scores[0].numel()), 1)
    kinds = best.indices % classes
    boxes = boxes.gather(1, (best.indices // classes)[..., None].expand(-1, -1, 4)).clamp(0, 1)
    return boxes, best.values, kinds, suppress(boxes, kinds, _SUPPRESS)

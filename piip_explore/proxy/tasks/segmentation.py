"""Semantic segmentation: a light head on the design's maps, cross-entropy, likelihood and mean IoU."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.models.layers import group_norm, resize
from piip_explore.proxy.data.source import IGNORE, Annotation, Samples
from piip_explore.proxy.tasks.heads import Fusion
from piip_explore.proxy.tasks.task import Predicted


@dataclass(frozen=True)
class Segmentation:
    """Classify every pixel.

    The head works on maps of `dim` channels at `head_size` x `head_size`, the loss is taken at twice that size, mIoU
    at the samples' own, and classes weigh frequency^-`balance` in the loss. All of it is the same for every design, so
    none has an easier target or a larger head.

    The score is the validation pixels' likelihood and not mIoU: after seconds of training the one orders published
    designs far better than the other (docs/proxy.md), because it moves before the most probable class does.
    """

    head_size: int = 32
    dim: int = 32
    balance: float = 0.5

    name: ClassVar[str] = "segmentation"
    metric: ClassVar[str] = "likelihood"
    needs: ClassVar[Annotation] = "masks"

    def check(self, design: Design) -> None:
        """Refuse a design whose output is not a map."""
        if design.merge.kind == "separate-heads":
            raise InputError(f"'{design}': merge=separate-heads returns class scores; segmentation needs maps")

    def classes_in_model(self, classes: int) -> int | None:
        """Return None: pixels are classified by the head."""
        return None

    def head(self, channels: list[int], classes: int) -> nn.Module:
        """Return fusion, one 3x3 convolution and the pixel classifier."""
        return SegmentationHead(Fusion(channels, self.dim, self.head_size), self.dim, classes)

    def objective(self, samples: Samples, classes: int) -> PixelLoss:
        """Return the weighted cross-entropy over the samples' masks."""
        return PixelLoss(samples, classes, 2 * self.head_size, self.balance)

    def evaluation(self, samples: Samples, classes: int) -> PixelMetrics:
        """Return an empty confusion matrix and an empty loss."""
        return PixelMetrics(samples, self.objective(samples, classes), classes)

    def predicted(self, output: object, samples: Samples) -> Predicted:
        """Return every pixel's most probable class, and the mean of their probabilities."""
        assert isinstance(output, Tensor)
        best = resize(output.float(), (samples.size, samples.size)).softmax(1).max(1)
        return Predicted(replace(samples, masks=best.indices.to(torch.uint8)), best.values.mean((1, 2)))


class PixelLoss:
    """Cross-entropy at `size` x `size` points of the masks, classes weighted by their frequency^-`balance`."""

    def __init__(self, samples: Samples, classes: int, size: int, balance: float) -> None:
        step = max(1, samples.size // size)
        self.targets = samples.masks[:, step // 2 :: step, step // 2 :: step]
        count = torch.bincount(self.targets.flatten().int(), minlength=256)[:classes].float()
        weight = count.clamp(min=1) ** -balance
        self.weight = weight * count.sum() / (weight * count).sum()

    def __call__(self, output: object, index: Tensor) -> Tensor:
        """Return the loss of logits (B, classes, H, W) for the samples at `index`."""
        return self._cross_entropy(output, self.targets[index].long(), "mean")

    def sums(self, output: object, index: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums of the weighted losses and of the weights."""
        target = self.targets[index].long()
        weights = self.weight[target.clamp(max=len(self.weight) - 1)] * (target != IGNORE)
        return self._cross_entropy(output, target, "sum"), weights.sum()

    def _cross_entropy(self, output: object, target: Tensor, reduction: str) -> Tensor:
        assert isinstance(output, Tensor)
        logits = resize(output.float(), (target.shape[1], target.shape[2]))
        return F.cross_entropy(logits, target, self.weight, ignore_index=IGNORE, reduction=reduction)


class SegmentationHead(nn.Module):
    """Maps to logits: fusion, a 3x3 convolution, a linear classifier per position."""

    def __init__(self, fusion: Fusion, dim: int, classes: int) -> None:
        super().__init__()
        self.fusion = fusion
        self.block = nn.Sequential(nn.Conv2d(dim, dim, 3, padding=1, bias=False), group_norm(dim), nn.GELU())
        self.classify = nn.Conv2d(dim, classes, 1)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Return logits (B, classes, size, size)."""
        return self.classify(self.block(self.fusion(maps)))


class PixelMetrics:
    """Likelihood of the true classes, mean intersection over union and pixel accuracy over the whole validation set.

    The likelihood is the geometric mean of the probabilities that the true classes get, pixels weighted as in the
    loss: exp(-loss). Ignored pixels count nowhere; a class that neither the masks nor the predictions hold is left out
    of the mean IoU.
    """

    def __init__(self, samples: Samples, loss: PixelLoss, classes: int) -> None:
        self.masks, self.loss = samples.masks, loss
        self.confusion = torch.zeros(classes, classes, dtype=torch.int64)
        self.total = torch.zeros(2, dtype=torch.float64)

    def update(self, output: object, index: Tensor) -> None:
        """Add logits (B, classes, H, W), resized to the masks of the samples at `index`."""
        assert isinstance(output, Tensor)
        self.total += torch.stack(self.loss.sums(output, index)).double().cpu()
        masks = self.masks[index]
        # Over a dimension that is not the last, max takes a quarter of argmax's time on a CPU.
        predicted = resize(output.float(), (masks.shape[1], masks.shape[2])).max(1).indices
        self.add(predicted, masks)

    def add(self, predicted: Tensor, masks: Tensor) -> None:
        """Add predicted and true classes of the same shape."""
        classes = len(self.confusion)
        kept = masks != IGNORE
        pairs = masks[kept].long() * classes + predicted[kept]
        self.confusion += torch.bincount(pairs, minlength=classes**2).view(classes, classes).cpu()

    def compute(self) -> dict[str, float]:
        """Return likelihood, mIoU and pixel accuracy in percent."""
        loss, weight = self.total.tolist()
        hits = self.confusion.diag().double()
        union = self.confusion.sum(0) + self.confusion.sum(1) - self.confusion.diag()
        present = union > 0
        iou = hits[present] / union[present]
        accuracy = hits.sum() / self.confusion.sum().clamp(min=1)
        return {
            "likelihood": 100 * math.exp(-loss / max(weight, 1e-12)),
            "mIoU": 100 * float(iou.mean()),
            "pixel accuracy": 100 * float(accuracy),
        }

"""Semantic segmentation: random crops, a sliding window over validation pictures, mean IoU."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2

from piip_explore.datasets import IGNORE, Split
from piip_explore.errors import InputError
from piip_explore.models import Pyramid
from piip_explore.models.segmenter import Segmenter
from piip_explore.train.samples import PreparedPictures
from piip_explore.train.tasks.task import Gather, Losses, TrainingTask

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's statistics of pixels."""


class SegmentationTraining(TrainingTask):
    """A segmenter on pictures with a map of classes each."""

    metric = "mIoU"

    def network(self) -> nn.Module:
        """Return the design's network with a linear layer on each of its maps."""
        return Segmenter(self.build(), self.settings.design, len(self.data.classes))

    def pyramid(self, network: nn.Module) -> Pyramid:
        """Return the design's network in a segmenter."""
        assert isinstance(network, Segmenter)
        return network.network

    def samples(self, split: Split) -> PreparedPictures:
        """Return pictures (3, H, W), normalised, with their maps: crops (R, R) for training, else the whole."""
        size = self.settings.design.resolution
        finish = [v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True), v2.Normalize(MEAN, STD)]
        crops = [
            v2.RandomResize(size // 2, 2 * size),
            v2.RandomCrop(size, pad_if_needed=True, fill={tv_tensors.Image: 0, tv_tensors.Mask: IGNORE}),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(brightness=0.125, contrast=0.5, saturation=0.5, hue=0.1),
        ]

        def resized(picture: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
            """Give a picture's shorter side `size` pixels; its map stays as it is."""
            return v2.functional.resize(picture, [size]), mask

        transform = v2.Compose([*(crops if split == "train" else [resized]), *finish])

        def prepare(row: int, picture: Image.Image, index: np.ndarray) -> tuple[Tensor, Tensor]:
            image, mask = transform(tv_tensors.Image(picture), tv_tensors.Mask(torch.from_numpy(index)))
            return image.as_subclass(Tensor), mask.as_subclass(Tensor).long()

        return PreparedPictures(self.data.split(split), prepare, self.settings.recipe.seed)

    def collate(self, items: list[tuple[Tensor, Tensor]]) -> Any:
        """Return pictures (B, 3, R, R) and maps (B, R, R); a picture of its own where sizes differ."""
        return torch.stack([picture for picture, _ in items]), torch.stack([mask for _, mask in items])

    def losses(self, model: nn.Module, batch: Any, device: torch.device) -> Losses:
        """Return the cross-entropy per pixel that has a class; 0 where none has."""
        pictures, masks = (tensor.to(device, non_blocking=True) for tensor in batch)
        total = F.cross_entropy(model(pictures), masks, ignore_index=IGNORE, reduction="sum")
        return {"loss": total / (masks != IGNORE).sum().clamp(min=1)}

    def judge(
        self, network: nn.Module, batches: Iterable[Any], device: torch.device, gather: Gather
    ) -> dict[str, float]:
        """Return the mean IoU over the classes that occur, and the accuracy of pixels, at the maps' own size.

        Raises:
            InputError: no pixel has a class.
        """
        classes = len(self.data.classes)
        confusion = torch.zeros(classes**2, dtype=torch.int64)
        for pictures, masks in batches:
            logits = slide(network, pictures.to(device), self.settings.design.resolution, classes)
            guess = F.interpolate(logits, size=masks.shape[1:], mode="bilinear").argmax(1).cpu()
            counted = masks != IGNORE
            confusion += torch.bincount(masks[counted] * classes + guess[counted], minlength=classes**2)
        found = torch.stack(gather([confusion])).sum(0).view(classes, classes).double()
        if not found.any():
            raise InputError("no validation mask has a class: every pixel is 0, which is not a class; number from 1")
        hits, union = found.diag(), found.sum(0) + found.sum(1) - found.diag()
        miou = 100 * (hits[union > 0] / union[union > 0]).mean().item()
        return {"score": miou, "miou": miou, "pixel_accuracy": 100 * (hits.sum() / found.sum()).item()}


def slide(network: nn.Module, pictures: Tensor, size: int, classes: int) -> Tensor:
    """Return logits (B, classes, H, W) of pictures (B, 3, H, W): the mean of windows two thirds of a side apart."""
    height, width = pictures.shape[2:]
    total = pictures.new_zeros(len(pictures), classes, height, width)
    count = pictures.new_zeros(1, 1, height, width)
    for top in _starts(height, size):
        for left in _starts(width, size):
            window = (..., slice(top, top + size), slice(left, left + size))
            total[window] += network(pictures[window])
            count[window] += 1
    return total / count


def _starts(length: int, size: int) -> Iterator[int]:
    stride = max(1, size * 2 // 3)
    last = max(0, length - size)
    yield from range(0, last, stride)
    yield last

"""Classification: timm's augmentation, soft labels of mixed pictures, top-1 accuracy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from timm.data import create_transform
from torch import Tensor, nn
from torchvision.transforms import v2

from piip_explore.datasets import Split
from piip_explore.errors import InputError
from piip_explore.models import Pyramid
from piip_explore.preset_names import merge_serves
from piip_explore.train.samples import PreparedPictures
from piip_explore.train.tasks.task import Gather, Losses, TrainingTask

_CROP = 0.875
"""The share of a validation picture's shorter side that is looked at."""


class ClassificationTraining(TrainingTask):
    """A classifier on folders of pictures."""

    metric = "top-1 accuracy"

    def network(self) -> nn.Module:
        """Return the design's network with a classifier."""
        design = self.settings.design
        if len(design.branches) > 1 and not merge_serves(design.merge.kind, "classification"):
            raise InputError(
                f"merge={design.merge.kind} makes no classifier: choose merge=linear or merge=separate-heads, or train "
                "on coco:FOLDER or ade20k:FOLDER"
            )
        return self.build(num_classes=len(self.data.classes))

    def pyramid(self, network: nn.Module) -> Pyramid:
        """Return the network: it is the design's."""
        assert isinstance(network, Pyramid)
        return network

    def samples(self, split: Split) -> PreparedPictures:
        """Return pictures (3, R, R), normalised, with their class."""
        recipe, size = self.settings.recipe, self.settings.design.resolution
        training: dict[str, Any] = {"is_training": True, "auto_augment": recipe.augment or None, "re_prob": 0.0}
        chosen = training if split == "train" else {"crop_pct": _CROP}
        transform = create_transform(size, interpolation="bicubic", **chosen)

        def prepare(row: int, picture: Image.Image, label: int) -> tuple[Tensor, int]:
            return transform(picture), label

        return PreparedPictures(self.data.split(split), prepare, recipe.seed)

    def collate(self, items: list[tuple[Tensor, int]]) -> tuple[Tensor, Tensor]:
        """Return pictures (B, 3, R, R) and classes (B)."""
        return torch.stack([picture for picture, _ in items]), torch.tensor([label for _, label in items])

    def losses(self, model: nn.Module, batch: Any, device: torch.device) -> Losses:
        """Return the cross-entropy of mixed pictures with their smoothed labels."""
        pictures, labels = (tensor.to(device, non_blocking=True) for tensor in batch)
        recipe, classes = self.settings.recipe, len(self.data.classes)
        mixes = [
            kind(alpha=alpha, num_classes=classes)
            for kind, alpha in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix))
            if alpha
        ]
        if mixes:
            pictures, labels = v2.RandomChoice(mixes)(pictures, labels)
        return {"loss": F.cross_entropy(model(pictures), labels, label_smoothing=recipe.label_smoothing)}

    def judge(
        self, network: nn.Module, batches: Iterable[Any], device: torch.device, gather: Gather
    ) -> dict[str, float]:
        """Return the top-1 and top-5 accuracy."""
        hits = torch.zeros(3, dtype=torch.int64)
        for pictures, labels in batches:
            best = network(pictures.to(device)).topk(min(5, len(self.data.classes)), dim=1).indices.cpu()
            right = best == labels[:, None]
            hits += torch.stack([right[:, 0].sum(), right.any(1).sum(), torch.tensor(len(labels))])
        first, five, count = torch.stack(gather([hits])).sum(0).tolist()
        return {"score": 100 * first / count, "top1": 100 * first / count, "top5": 100 * five / count}

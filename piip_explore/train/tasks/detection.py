"""Object detection and instance segmentation: torchvision's Mask R-CNN on the design's pyramid, COCO's AP."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as rle
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.ops import FeaturePyramidNetwork, box_convert
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool
from torchvision.transforms import v2

from piip_explore.datasets import Coco, Split
from piip_explore.datasets.coco import large_enough
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.detection import image_norm, pad_divisor
from piip_explore.models import Pyramid, build
from piip_explore.models.merging import SimplePyramid
from piip_explore.train.samples import PreparedPictures
from piip_explore.train.tasks.instances import Instances, average_precision, read_instances
from piip_explore.train.tasks.task import Gather, Losses, TrainingTask

Target = dict[str, Tensor]


class DetectionTraining(TrainingTask):
    """Mask R-CNN on COCO data; Faster R-CNN where the boxes have no shapes."""

    metric = "box AP"
    data: Coco

    @cached_property
    def train(self) -> Instances:
        """The training pictures' annotations."""
        return read_instances(self.data.split("train"))

    @cached_property
    def val(self) -> Instances:
        """The validation pictures' annotations."""
        return read_instances(self.data.split("val"))

    @cached_property
    def masks(self) -> bool:
        """Whether instances are segmented too."""
        return self.train.masks and self.val.masks

    def network(self) -> nn.Module:
        """Return the detector."""
        recipe, design = self.settings.recipe, self.settings.design
        return detector(
            DetectorFeatures(self.build(), design, recipe.head_width), design, len(self.data.classes), self.masks
        )

    def pyramid(self, network: nn.Module) -> Pyramid:
        """Return the design's network in a detector."""
        features = network.backbone
        assert isinstance(features, DetectorFeatures)
        return features.pyramid

    def samples(self, split: Split) -> PreparedPictures:
        """Return pictures (3, H, W) of 0 to 1 at their own size, with boxes, labels from 1 and masks."""
        instances = self.train if split == "train" else self.val
        flip = v2.RandomHorizontalFlip(0.5 if split == "train" else 0.0)
        rows = _Rows(instances, self.masks, filled=split == "train")

        def prepare(row: int, picture: Image.Image, target: Target) -> tuple[Tensor, Target]:
            image, turned = flip(v2.functional.to_image(picture), target)
            plain = {name: tensor.as_subclass(Tensor) for name, tensor in turned.items()}
            return v2.functional.to_dtype(image.as_subclass(Tensor), torch.float32, scale=True), plain

        return PreparedPictures(rows, prepare, self.settings.recipe.seed)

    def collate(self, items: list[tuple[Tensor, Target]]) -> Any:
        """Return the pictures and their targets, as lists."""
        return [picture for picture, _ in items], [target for _, target in items]

    def losses(self, model: nn.Module, batch: Any, device: torch.device) -> Losses:
        """Return the losses of the proposals and of the heads."""
        pictures, targets = batch
        on_device = [{name: tensor.to(device, non_blocking=True) for name, tensor in t.items()} for t in targets]
        losses: Losses = model([picture.to(device, non_blocking=True) for picture in pictures], on_device)
        return losses

    def judge(
        self, network: nn.Module, batches: Iterable[Any], device: torch.device, gather: Gather
    ) -> dict[str, float]:
        """Return COCO's AP of boxes, and of masks where there are any."""
        boxes: list[dict[str, Any]] = []
        masks: list[dict[str, Any]] = []
        for pictures, targets in batches:
            outputs = network([picture.to(device) for picture in pictures])
            for output, target in zip(outputs, targets, strict=True):
                named = self._named(int(target["image_id"]), output)
                sides = box_convert(output["boxes"], "xyxy", "xywh").tolist()
                boxes += [entry | {"bbox": box} for entry, box in zip(named, sides, strict=True)]
                if self.masks:
                    shapes = _run_lengths(output["masks"])
                    masks += [entry | {"segmentation": shape} for entry, shape in zip(named, shapes, strict=True)]
        metrics = average_precision(self.val.truth, gather(boxes), "bbox")
        if self.masks:
            metrics |= average_precision(self.val.truth, gather(masks), "segm")
        return {"score": metrics["box_ap"], **metrics}

    def _named(self, image: int, output: Target) -> list[dict[str, Any]]:
        kinds = list(self.val.listed.categories)
        found = zip(output["labels"].tolist(), output["scores"].tolist(), strict=True)
        return [{"image_id": image, "category_id": kinds[label - 1], "score": score} for label, score in found]


@dataclass(frozen=True)
class _Rows:
    """Pictures with boxes as tensors; `filled` leaves out those without any, as the published training does."""

    instances: Instances
    masks: bool
    filled: bool

    @cached_property
    def rows(self) -> list[int]:
        boxes = self.instances.listed.boxes
        return [row for row in range(len(boxes)) if len(boxes[row]) or not self.filled]

    def __len__(self) -> int:
        return len(self.rows)

    def files(self, rows: Sequence[int]) -> list[Path]:
        return self.instances.listed.files([self.rows[row] for row in rows])

    def read(self, index: int) -> tuple[Image.Image, Target]:
        row = self.rows[index]
        picture, boxes = self.instances.listed.read(row)
        kept = np.flatnonzero(large_enough(boxes))
        size = (picture.height, picture.width)
        corners = torch.from_numpy(boxes[kept, :4]).float().reshape(-1, 4)
        target: Target = {
            "boxes": tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=size),
            "labels": torch.from_numpy(boxes[kept, 4]).long() + 1,
            "image_id": torch.tensor(self.instances.image_ids[row]),
        }
        if self.masks:
            shapes = [self.instances.mask(row, int(box), *size) for box in kept]
            stacked = np.stack(shapes) if shapes else np.zeros((0, *size), np.uint8)
            target["masks"] = tv_tensors.Mask(torch.from_numpy(stacked))
        return picture, target


class DetectorFeatures(nn.Module):
    """The design's network and a feature pyramid of `width` channels on its maps of strides 4 to 32.

    A network with one map gets the maps of the other strides from it (ViTDet's simple pyramid).

    Raises:
        InputError: the design has neither one map nor four.
    """

    def __init__(self, pyramid: Pyramid, design: Design, width: int) -> None:
        super().__init__()
        with torch.device("meta"):
            widths = [x.shape[1] for x in build(design)(torch.zeros(1, 3, design.resolution, design.resolution))]
        if len(widths) not in (1, 4):
            raise InputError(f"merge={design.merge.kind} gives a detector {len(widths)} maps: choose merge=conv")
        self.pyramid, self.out_channels = pyramid, width
        self.levels: nn.Module = nn.Identity() if len(widths) == 4 else SimplePyramid(widths * 4)
        self.fpn = FeaturePyramidNetwork(widths * (4 // len(widths)), width, LastLevelMaxPool())

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return maps of strides 4 to 64 of images (B, 3, H, W), in float32 whatever the precision."""
        maps = self.levels(self.pyramid(images))
        found: OrderedDict[str, Tensor] = self.fpn(OrderedDict((str(n), x) for n, x in enumerate(maps)))
        return OrderedDict((name, x.float()) for name, x in found.items())


class FullPrecision(nn.Module):
    """Run a part of a network outside autocast: boxes of a thousand pixels are not whole pixels in bfloat16."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, *arguments: Any) -> Any:
        """Return what the part makes of its arguments."""
        with torch.autocast(next(self.inner.parameters()).device.type, enabled=False):
            return self.inner(*arguments)


def detector(features: DetectorFeatures, design: Design, classes: int, masks: bool) -> nn.Module:
    """Return a Mask R-CNN, or Faster R-CNN, with the published sizes and padding of images.

    Images are resized to at most R x R * 800 / 1333, where R is the design's largest resolution, and padded to whole
    windows. Proposals, samples and thresholds are those of the 1x configs.
    """
    width, size = features.out_channels, design.resolution
    norm = image_norm(design, {})
    options: dict[str, Any] = {
        "min_size": size * 800 // 1333,
        "max_size": size,
        "size_divisible": math.lcm(32, pad_divisor(design)),
        "image_mean": [value / 255 for value in norm["mean"]],
        "image_std": [value / 255 for value in norm["std"]],
        "rpn_post_nms_top_n_train": 1000,
        "box_head": TwoMLPHead(width * 7 * 7, 4 * width),
        "box_predictor": FastRCNNPredictor(4 * width, classes + 1),
    }
    if masks:
        options["mask_head"] = MaskRCNNHeads(width, (width,) * 4, 1)
        options["mask_predictor"] = MaskRCNNPredictor(width, width, classes + 1)
    made: nn.Module = (MaskRCNN if masks else FasterRCNN)(features, **options)
    made.rpn, made.roi_heads = FullPrecision(made.rpn), FullPrecision(made.roi_heads)  # type: ignore[arg-type]
    return made


def _run_lengths(masks: Tensor) -> list[dict[str, Any]]:
    """Return masks (N, 1, H, W) of probabilities as COCO's run lengths."""
    planes = np.asfortranarray((masks[:, 0] > 0.5).permute(1, 2, 0).to(torch.uint8).cpu().numpy())
    return [entry | {"counts": entry["counts"].decode()} for entry in rle.encode(planes)]

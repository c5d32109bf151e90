"""COCO box average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
from torch import Tensor

from piip_explore.proxy.data.source import Samples
from piip_explore.proxy.tasks.boxes import detections

_MOST = 100
_COCO_SIDE = 640
"""Side of a typical COCO image: small and medium end at 32 and 96 pixels of it, and scale with the image here."""
_NAMES = {"AP": 0, "AP50": 1, "AP75": 2, "AP small": 3, "AP medium": 4, "AP large": 5}


class AveragePrecision:
    """Box AP over the whole validation set: mean over classes and IoU thresholds 0.50 to 0.95, in percent."""

    def __init__(self, samples: Samples, classes: int) -> None:
        self.samples, self.classes = samples, classes
        self.found: list[np.ndarray] = []

    def update(self, output: object, index: Tensor) -> None:
        """Add predictions (B, P, classes + 4) of the detection head for the samples at `index`."""
        assert isinstance(output, Tensor)
        boxes, scores, kinds, kept = detections(output)
        rank = kept.cumsum(1)
        image, place = (kept & (rank <= _MOST)).nonzero(as_tuple=True)
        box = boxes[image, place] * self.samples.size
        sides = box[:, 2:] - box[:, :2]
        columns = [index.to(image.device)[image], *box[:, :2].unbind(1), *sides.unbind(1)]
        columns += [scores[image, place], kinds[image, place] + 1]
        self.found.append(np.stack([column.double().cpu().numpy() for column in columns], 1))

    def compute(self) -> dict[str, float]:
        """Return AP, AP50, AP75 and AP by object size; sizes without objects are left out."""
        from pycocotools.cocoeval import COCOeval

        found = np.concatenate(self.found) if self.found else np.zeros((0, 7))
        if len(found) == 0:
            return dict.fromkeys(_NAMES, 0.0)
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
            truth = self._truth()
            evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
            scale = (self.samples.size / _COCO_SIDE) ** 2
            evaluation.params.areaRng = [[low * scale, high * scale] for low, high in evaluation.params.areaRng]
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        values = {name: 100 * float(evaluation.stats[place]) for name, place in _NAMES.items()}
        return {name: value for name, value in values.items() if value >= 0}

    def _truth(self) -> Any:
        from pycocotools.coco import COCO

        samples = self.samples
        image = np.repeat(np.arange(len(samples)), samples.box_start.diff().cpu().numpy())
        boxes = samples.boxes.double().cpu().numpy()
        kinds = samples.box_classes.cpu().numpy()
        truth = COCO()
        truth.dataset = {
            "info": {},
            "images": [{"id": n} for n in range(len(samples))],
            "categories": [{"id": n + 1} for n in range(self.classes)],
            "annotations": [
                {
                    "id": n + 1,
                    "image_id": int(image[n]),
                    "category_id": int(kinds[n]) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": 0,
                }
                for n, (x0, y0, x1, y1) in enumerate(boxes.tolist())
            ],
        }
        truth.createIndex()
        return truth

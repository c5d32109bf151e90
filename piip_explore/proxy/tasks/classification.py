"""Image classification: the design's own classifier, cross-entropy, top-1 accuracy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.proxy.data.source import Annotation, Samples
from piip_explore.proxy.tasks.task import Predicted


@dataclass(frozen=True)
class Classification:
    """Classify images; for designs that merge linearly, average separate heads, or have one branch."""

    name: ClassVar[str] = "classification"
    metric: ClassVar[str] = "top-1"
    needs: ClassVar[Annotation] = "labels"

    def check(self, design: Design) -> None:
        """Refuse a design that has no classifier."""
        if len(design.branches) > 1 and design.merge.kind not in ("linear", "separate-heads"):
            raise InputError(
                f"'{design}': merge={design.merge.kind} has no classifier; use merge=linear or merge=separate-heads"
            )

    def classes_in_model(self, classes: int) -> int | None:
        """Return the number of classes: the design classifies by itself."""
        return classes

    def head(self, channels: list[int], classes: int) -> nn.Module:
        """Return nothing to add."""
        return nn.Identity()

    def objective(self, samples: Samples, classes: int) -> LabelLoss:
        """Return the cross-entropy over the samples' labels."""
        return LabelLoss(samples)

    def evaluation(self, samples: Samples, classes: int) -> Accuracy:
        """Return an empty count."""
        return Accuracy(samples)

    def predicted(self, output: object, samples: Samples) -> Predicted:
        """Return the most probable labels, and their probabilities."""
        assert isinstance(output, Tensor)
        best = output.float().softmax(1).max(1)
        return Predicted(replace(samples, labels=best.indices), best.values)


class LabelLoss:
    """Cross-entropy of logits (B, classes)."""

    def __init__(self, samples: Samples) -> None:
        self.labels = samples.labels

    def __call__(self, output: object, index: Tensor) -> Tensor:
        """Return the loss for the samples at `index`."""
        assert isinstance(output, Tensor)
        return F.cross_entropy(output.float(), self.labels[index])


class Accuracy:
    """Share of images whose label has the highest score, or one of the five highest."""

    def __init__(self, samples: Samples) -> None:
        self.labels = samples.labels
        self.seen, self.first, self.among_five = 0, 0, 0

    def update(self, output: object, index: Tensor) -> None:
        """Add logits (B, classes) for the samples at `index`."""
        assert isinstance(output, Tensor)
        ranked = output.topk(min(5, output.shape[1]), 1).indices
        hits = ranked == self.labels[index][:, None]
        self.seen += len(hits)
        self.first += int(hits[:, 0].sum())
        self.among_five += int(torch.any(hits, 1).sum())

    def compute(self) -> dict[str, float]:
        """Return top-1 and top-5 accuracy in percent."""
        seen = max(1, self.seen)
        return {"top-1": 100 * self.first / seen, "top-5": 100 * self.among_five / seen}

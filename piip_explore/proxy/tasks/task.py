"""The interface of a proxy task: what a design is trained for and how it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor, nn

from piip_explore.design import Design
from piip_explore.proxy.data.source import Annotation, Samples


class Objective(Protocol):
    """A training loss over a set of samples."""

    def __call__(self, output: object, index: Tensor) -> Tensor:
        """Return the scalar loss of the model's output for the samples at `index` (B,)."""
        ...


class Metric(Protocol):
    """Gathers a validation pass, batch by batch."""

    def update(self, output: object, index: Tensor) -> None:
        """Add the model's output for the samples at `index` (B,)."""
        ...

    def compute(self) -> dict[str, float]:
        """Return the metrics in percent; the task's `metric` names the one that counts."""
        ...


class Task(Protocol):
    """One kind of training: a head on a design's maps, a loss and a metric.

    Attributes:
        name: its name on the command line.
        metric: name of the validation metric, in percent, higher is better.
        needs: the annotation that samples must carry.
    """

    name: ClassVar[str]
    metric: ClassVar[str]
    needs: ClassVar[Annotation]

    def check(self, design: Design) -> None:
        """Raise `InputError` if the task cannot judge this design."""
        ...

    def classes_in_model(self, classes: int) -> int | None:
        """Number of classes that the design itself classifies, None where the head does."""
        ...

    def head(self, channels: list[int], classes: int) -> nn.Module:
        """Return a head for maps of these channels (as the model lists them)."""
        ...

    def objective(self, samples: Samples, classes: int) -> Objective:
        """Return the training loss over these samples."""
        ...

    def evaluation(self, samples: Samples, classes: int) -> Metric:
        """Return an empty metric over these samples."""
        ...


@dataclass(frozen=True)
class Predicted:
    """A model's predictions: the samples with its annotations, and how `sure` it is of each, (N,) from 0 to 1."""

    samples: Samples
    sure: Tensor


@runtime_checkable
class Predicts(Protocol):
    """A task whose predictions can be drawn, because they fit the columns of samples."""

    def predicted(self, output: object, samples: Samples) -> Predicted:
        """Return the predictions in the model's output for these samples."""
        ...

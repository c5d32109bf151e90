"""Judges a run's network on held-out images: on all of them at the end, on a few during training."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor, nn

from piip_explore import phases
from piip_explore.proxy.data.source import Samples
from piip_explore.proxy.picture import picture
from piip_explore.proxy.presets import Preset
from piip_explore.proxy.tasks.task import Metric, Predicts

_STEPS_PER_GLANCE = 24
"""Training steps per look: half a batch costs up to 0.7 of a step on a CPU, a third of it in the metric."""
_MOST_GLANCES = 8


def glances(steps: int) -> list[int]:
    """Return the steps of a run after which to look: evenly spread, and the last one."""
    count = min(_MOST_GLANCES, steps // _STEPS_PER_GLANCE)
    return [round(steps * (number + 1) / count) for number in range(count)]


class Validation:
    """Held-out samples of a preset on a device; `autocast` is the dtype of matrix products, None for float32."""

    def __init__(self, preset: Preset, samples: Samples, autocast: torch.dtype | None) -> None:
        self.preset, self.samples, self.autocast = preset, samples, autocast
        self.names = preset.data.classes(preset.task.needs)
        self.batches = torch.arange(len(samples), device=samples.images.device).split(2 * preset.batch)
        self.few = samples.first(max(1, preset.batch // 2))

    @torch.no_grad()
    def judge(self, network: nn.Module) -> tuple[dict[str, float], bytes]:
        """Return the task's metrics on all samples, and a picture of the first ones, empty if there can be none."""
        network.eval()
        metric = self._metric(self.samples)
        seen = b""
        for number, index in enumerate(self.batches):
            phases.tell("validating", number / len(self.batches))
            output = self._output(network, index)
            metric.update(output, index)
            if number == 0:
                seen = self._picture(output)
        return metric.compute(), seen

    @torch.no_grad()
    def glance(self, network: nn.Module) -> float:
        """Return the task's metric on the first few samples, NaN if it has none; the network can then train on."""
        network.eval()
        index = self.batches[0][: len(self.few)]
        metric = self._metric(self.few)
        metric.update(self._output(network, index), index)
        network.train()
        return metric.compute().get(self.preset.task.metric, math.nan)

    def _metric(self, samples: Samples) -> Metric:
        return self.preset.task.evaluation(samples, len(self.names))

    def _output(self, network: nn.Module, index: Tensor) -> object:
        with torch.autocast(index.device.type, self.autocast, enabled=self.autocast is not None):
            output: object = network(self.samples.images[index])
        return output

    def _picture(self, output: object) -> bytes:
        task = self.preset.task
        if not isinstance(task, Predicts):
            return b""
        try:
            shown = self.samples.first(len(self.batches[0]))
            return picture(shown, task.predicted(output, shown), self.names, task.needs)
        except Exception as error:  # whatever the error, the run is trained
            warnings.warn(f"no picture of the predictions: {error}", RuntimeWarning, stacklevel=2)
            return b""

"""The contract of a proxy task: what designs are trained for, and how they are judged."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest
import torch

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.proxy import Preset, evaluate
from piip_explore.proxy.data.source import Samples
from piip_explore.proxy.network import Network
from piip_explore.proxy.tasks.task import Task
from piip_explore.testing import presets


class TaskContract(ABC):
    """Tests of one task, on scenes of 32 pixels, which have masks, boxes and labels."""

    fits: Sequence[str] = ("vit_tiny@896:w14 vit_small@448; interactions=6; merge=linear",)
    """Designs that it judges."""
    refused: Sequence[str] = ()
    """Designs that it cannot judge."""

    @abstractmethod
    def make(self) -> Task:
        """Return the task; a small head keeps the tests quick."""

    def _preset(self) -> Preset:
        return presets.tiny(name="contract", task=self.make(), fresh_rate=3.0)

    def _samples(self, preset: Preset) -> tuple[Samples, int]:
        """Return samples and the number of their classes."""
        samples = preset.data.load("val", 8, preset.size, torch.device("cpu"))
        return samples, len(preset.data.classes(preset.task.needs))

    def test_is_a_value(self) -> None:
        """Presets are hashed over it and go to workers, so equal tasks are equal there too."""
        task = self.make()
        assert pickle.loads(pickle.dumps(task)) == task
        assert self._preset().hash == self._preset().hash
        assert task.needs in self._preset().data.provides

    def test_judges_what_fits_and_refuses_the_rest(self) -> None:
        """A design that it cannot judge is refused before anything is trained."""
        task = self.make()
        for text in self.fits:
            task.check(Design.parse(text))
        for text in self.refused:
            with pytest.raises(InputError):
                task.check(Design.parse(text))

    def test_trains_all_that_a_design_has(self) -> None:
        """The loss is a finite scalar, and every parameter has a gradient of it."""
        preset = self._preset()
        samples, classes = self._samples(preset)
        index = torch.tensor([5, 0, 3])
        for text in self.fits:
            network = Network(preset.shrink(Design.parse(text).sorted()), preset)
            loss = preset.task.objective(samples, classes)(network(samples.images[index]), index)
            loss.backward()
            assert loss.ndim == 0
            assert loss.isfinite()
            assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []

    @torch.no_grad()
    def test_a_metric_does_not_depend_on_batches(self) -> None:
        """Validation in batches gives the same percent, whatever their sizes."""
        preset = self._preset()
        samples, classes = self._samples(preset)
        output = Network(preset.shrink(Design.parse(self.fits[0]).sorted()), preset).eval()(samples.images)
        found = []
        for size in (len(samples), 3):
            metric = preset.task.evaluation(samples, classes)
            for index in torch.arange(len(samples)).split(size):
                metric.update(output[index], index)
            found.append(metric.compute())
        assert found[0] == pytest.approx(found[1], abs=1e-3)
        assert 0 <= found[0][preset.task.metric] <= 100

    def test_a_run_has_a_score(self) -> None:
        """A run of some steps ends well, with the task's metric, and comes out the same again."""
        preset = self._preset()
        first, second = (evaluate(Design.parse(self.fits[0]), preset, device="cpu") for _ in range(2))
        assert (first.status, first.metric) == ("ok", preset.task.metric)
        assert 0 <= first.value <= 100
        assert first.value == second.value

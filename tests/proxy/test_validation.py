"""Judging on held-out images: glances on the way, metrics and a picture at the end."""

from dataclasses import replace

import pytest
import torch

from piip_explore.proxy import preset, validation
from piip_explore.proxy.tasks import Segmentation


class _Constant(torch.nn.Module):
    """Says the same of whatever it sees."""

    def __init__(self, output):
        super().__init__()
        self.output = output

    def forward(self, images):
        return self.output[: len(images)]


def test_a_run_glances_a_few_times_and_at_its_end():
    assert validation.glances(96) == [24, 48, 72, 96]
    assert validation.glances(50) == [25, 50]
    assert validation.glances(23) == validation.glances(0) == []
    many = validation.glances(10_000)
    assert (len(many), many[-1]) == (8, 10_000)


@pytest.mark.parametrize("task", ["segmentation", "detection"])
def test_a_glance_is_the_metric_of_half_a_batch(task, tiny):
    recipe = replace(tiny, task=preset(f"demo/{task}").task, batch=12)
    held_out = validation.Validation(recipe, recipe.data.load("val", 10, 32, torch.device("cpu")), None)
    alone = validation.Validation(recipe, held_out.samples.first(6), None)
    classes = len(held_out.names)
    torch.manual_seed(0)
    network = _Constant(torch.randn(10, classes, 8, 8) if task == "segmentation" else torch.rand(10, 20, classes + 4))
    assert held_out.glance(network) == pytest.approx(alone.judge(network)[0][recipe.task.metric])
    assert held_out.glance(network.train()) >= 0
    assert network.training


def test_a_run_outlives_a_picture_that_cannot_be_drawn(tiny):
    class Broken(Segmentation):
        def predicted(self, output, samples):
            raise RuntimeError("no colours left")

    samples = tiny.data.load("val", 4, 32, torch.device("cpu"))
    network = _Constant(torch.zeros(4, len(tiny.data.classes("masks")), 8, 8))
    with pytest.warns(RuntimeWarning, match="no picture of the predictions: no colours left"):
        metrics, seen = validation.Validation(replace(tiny, task=Broken()), samples, None).judge(network)
    assert (metrics["likelihood"] > 0, seen) == (True, b"")

"""The suite accepts a task that keeps the contract, and says which part another breaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import nn

from piip_explore.errors import InputError
from piip_explore.testing.tasks import TaskContract


class Mean(nn.Module):
    """The mean of the first map's channels through one linear layer; a layer beside it may be idle."""

    def __init__(self, channels, idle):
        super().__init__()
        self.linear = nn.Linear(channels, 1)
        self.idle = nn.Linear(1, 1) if idle else None

    def forward(self, maps):
        return torch.sigmoid(self.linear(maps[0].mean(dim=(2, 3))))[:, 0]


class Distance:
    """How far the output is from half, over all samples; or, at fault, the last batch's alone."""

    def __init__(self, last):
        self.last, self.far = last, []

    def __call__(self, output, index):
        return (output - 0.5).abs().mean()

    def update(self, output, index):
        self.far = [*([] if self.last else self.far), *(output - 0.5).abs().tolist()]

    def compute(self):
        return {"closeness": 100 * (1 - sum(self.far) / len(self.far))}


@dataclass(frozen=True)
class Half:
    name: ClassVar[str] = "half"
    metric: ClassVar[str] = "closeness"
    needs: ClassVar[str] = "masks"
    fault: str = ""

    def check(self, design):
        if (design.merge.kind == "separate-heads") != (self.fault == "judges"):
            raise InputError(f"'{design}' has no map")

    def classes_in_model(self, classes):
        return None

    def head(self, channels, classes):
        return Mean(channels[0], idle=self.fault == "trains")

    def objective(self, samples, classes):
        return Distance(last=False)

    def evaluation(self, samples, classes):
        return Distance(last=self.fault == "a_metric")


@pytest.mark.parametrize("fault", ["judges", "trains", "a_metric", ""])
def test_a_fault_fails_its_test_and_no_other(fault):
    class Suite(TaskContract):
        __test__ = False
        refused = ("vit_tiny@448 vit_small@224; merge=separate-heads",)

        def make(self):
            return Half(fault=fault)

    failed = []
    for name in (name for name in dir(TaskContract) if name.startswith("test_") and name != "test_a_run_has_a_score"):
        try:
            getattr(Suite(), name)()
        except (AssertionError, InputError, pytest.fail.Exception):
            failed.append(name)
    assert [name.startswith(f"test_{fault}") for name in failed] == [True] * bool(fault)

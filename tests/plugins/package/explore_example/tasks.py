"""A proxy task: how much of an image is background."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn


class Share(nn.Module):
    """The mean of the first map, through one linear layer and a sigmoid."""

    def __init__(self, channels):
        super().__init__()
        self.linear = nn.Linear(channels, 1)

    def forward(self, maps):
        return torch.sigmoid(self.linear(maps[0].mean(dim=(2, 3))))[:, 0]


class Distance:
    """How far the output is from the share of background, as a loss and as a metric."""

    def __init__(self, samples):
        self.shares = (samples.masks == 0).float().mean(dim=(1, 2))
        self.sum = self.count = 0

    def __call__(self, output, index):
        return (output - self.shares[index]).abs().mean()

    def update(self, output, index):
        self.sum += float((output - self.shares[index]).abs().sum())
        self.count += len(index)

    def compute(self):
        return {"closeness": 100 * (1 - self.sum / self.count)}


@dataclass(frozen=True)
class Background:
    name: ClassVar[str] = "background"
    metric: ClassVar[str] = "closeness"
    needs: ClassVar[str] = "masks"

    def check(self, design):
        pass

    def classes_in_model(self, classes):
        return None

    def head(self, channels, classes):
        return Share(channels[0])

    def objective(self, samples, classes):
        return Distance(samples)

    def evaluation(self, samples, classes):
        return Distance(samples)

"""What can be trained, each task behind one interface."""

from __future__ import annotations

import importlib

from piip_explore.datasets import open_data
from piip_explore.train.settings import Settings
from piip_explore.train.tasks.task import TrainingTask

_MODULES = {
    "detection": "DetectionTraining",
    "segmentation": "SegmentationTraining",
    "classification": "ClassificationTraining",
}


def make(settings: Settings) -> TrainingTask:
    """Return the task of settings, with its data opened and checked by name.

    Raises:
        InputError: the data are not there or cannot be right.
    """
    module = importlib.import_module(f"piip_explore.train.tasks.{settings.task}")
    data = open_data(settings.data)
    data.check()
    made = getattr(module, _MODULES[settings.task])(settings, data)
    assert isinstance(made, TrainingTask)
    return made

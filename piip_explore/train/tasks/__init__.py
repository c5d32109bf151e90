"""What can be trained, each task behind one interface."""

from __future__ import annotations

import importlib

from piip_explore.datasets import open_data
from piip_explore.train.settings import Settings
from piip_explore.train.tasks.task import Task

_MODULES = {"detection": "Detection", "segmentation": "Segmentation", "classification": "Classification"}


def make(settings: Settings) -> Task:
    """Return the task of settings, with its data opened and checked by name.

    Raises:
        InputError: the data are not there or cannot be right.
    """
    module = importlib.import_module(f"piip_explore.train.tasks.{settings.task}")
    data = open_data(settings.data)
    data.check()
    made = getattr(module, _MODULES[settings.task])(settings, data)
    assert isinstance(made, Task)
    return made

"""Proxy tasks: what a design is trained for and how it is judged, behind one interface."""

from piip_explore.proxy.tasks.segmentation import Segmentation
from piip_explore.proxy.tasks.task import Metric, Objective, Task

TASKS = {"segmentation": Segmentation}
"""Every task by name."""

__all__ = ["TASKS", "Metric", "Objective", "Segmentation", "Task"]

"""Proxy tasks: what a design is trained for and how it is judged, behind one interface."""

from piip_explore.proxy.tasks.classification import Classification
from piip_explore.proxy.tasks.detection import Detection
from piip_explore.proxy.tasks.segmentation import Segmentation
from piip_explore.proxy.tasks.task import Metric, Objective, Predicted, Predicts, Task

TASKS = {"segmentation": Segmentation, "detection": Detection, "classification": Classification}
"""Every task by name."""

__all__ = [
    "TASKS",
    "Classification",
    "Detection",
    "Metric",
    "Objective",
    "Predicted",
    "Predicts",
    "Segmentation",
    "Task",
]

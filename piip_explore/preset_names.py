"""The proxy presets by name, with their task and hardware; `piip_explore.proxy` has the recipes.

A name can be checked, and the usual preset of a task found, without PyTorch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from piip_explore.errors import InputError, expected

PROXY_TASKS = ("segmentation", "detection", "classification")
"""What presets train."""

TASKS = (*PROXY_TASKS, "multimodal")
"""What a space can be about."""


@dataclass(frozen=True)
class PresetName:
    """What a preset trains, the hardware it is sized for, and a line about it."""

    task: str
    hardware: str
    about: str


PRESETS = {
    "demo": PresetName("segmentation", "cpu", "seconds a design: shows that all works"),
    "demo-detection": PresetName("detection", "cpu", "the same with boxes"),
    "cpu": PresetName("segmentation", "cpu", "branches are shared, each trained alone"),
    "cpu-frozen": PresetName("segmentation", "cpu", "frozen branches: tells interactions from none"),
    "cpu-supernet": PresetName("segmentation", "cpu", "designs take their part of one network (docs/proxy.md)"),
    "cpu-detection": PresetName("detection", "cpu", "the recipe of cpu with boxes"),
    "cpu-classification": PresetName("classification", "cpu", "the recipe of cpu with one object an image"),
    "gpu-60s": PresetName("segmentation", "gpu", "about a minute a design"),
    "gpu-5min": PresetName("segmentation", "gpu", "six times the images of gpu-60s"),
    "gpu-frozen": PresetName("segmentation", "gpu", "frozen branches: tells interactions from none"),
    "gpu-supernet": PresetName("segmentation", "gpu", "designs take their part of one network: sees interactions"),
    "gpu-detection-60s": PresetName("detection", "gpu", "about a minute a design"),
    "gpu-detection-5min": PresetName("detection", "gpu", "six times the images"),
    "gpu-classification-60s": PresetName("classification", "gpu", "about a minute a design"),
    "gpu-classification-5min": PresetName("classification", "gpu", "six times the images"),
}

USUAL = {
    ("segmentation", "cpu"): "cpu-supernet",
    ("detection", "cpu"): "cpu-detection",
    ("classification", "cpu"): "cpu-classification",
    ("segmentation", "gpu"): "gpu-60s",
    ("detection", "gpu"): "gpu-detection-60s",
    ("classification", "gpu"): "gpu-classification-60s",
}
"""The preset of a task and a kind of hardware where none is named."""


def check_preset(text: str) -> PresetName:
    """Return what is known of the preset `NAME`, `NAME/TASK` (with a task of its own) or either with `@KIND:FOLDER`.

    Raises:
        InputError: there is no such preset.
    """
    name, slash, task = text.partition("@")[0].partition("/")
    if name not in PRESETS:
        raise InputError(f"unknown preset '{name}': {expected(name, PRESETS)} (@KIND:FOLDER behind it for own data)")
    return replace(PRESETS[name], task=task) if slash else PRESETS[name]


def usual_preset(task: str, device: str) -> str:
    """Return the preset that trains a task on a device, such as `cpu` or `cuda:0`.

    Raises:
        InputError: no preset trains it.
    """
    hardware = "gpu" if device.startswith("cuda") else "cpu"
    if (task, hardware) not in USUAL:
        near = ", ".join(PROXY_TASKS)
        raise InputError(
            f"no proxy preset trains {task} models: choose a near task with --task ({near}), or score designs with a "
            "training of your own, --evaluator-command"
        )
    return USUAL[task, hardware]


def merge_serves(merge: str, task: str) -> bool:
    """Tell whether designs of several branches with this merge can be trained for a task, as far as it is known."""
    if task not in TASKS:
        return True
    if task == "classification":
        return merge in ("linear", "separate-heads")
    return merge != "separate-heads"

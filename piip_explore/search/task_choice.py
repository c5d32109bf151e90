"""Which task and proxy preset score a space: what was asked for, what its file says, or what its merges allow."""

from __future__ import annotations

from piip_explore.errors import InputError
from piip_explore.preset_names import check_preset, merge_serves, usual_preset
from piip_explore.space import SearchSpace


def task_of(space: SearchSpace) -> str:
    """Return what a space's designs are for: as its file says, else classification where its designs classify."""
    if space.task is not None:
        return space.task
    named = space.proxy.get("preset")
    if named is not None:
        return check_preset(named).task
    return "classification" if "separate-heads" in space.settings.merge else "segmentation"


def preset_of(space: SearchSpace, device: str, preset: str | None = None, task: str | None = None) -> str:
    """Return the preset that scores a space on a device, such as `cpu` or `cuda:0`.

    `preset` and `task` are what was asked for. A preset must train the space's own task, unless another is asked for.

    Raises:
        InputError: it does not, it cannot judge designs of this space, or no preset trains the task.
    """
    if preset is not None:
        _check_agrees(space, device, preset, task)
        chosen = preset
    else:
        named, wanted = space.proxy.get("preset"), task or task_of(space)
        chosen = named if named and check_preset(named).task == wanted else usual_preset(wanted, device)
    _check_merges(space, check_preset(chosen).task)
    return chosen


def _check_agrees(space: SearchSpace, device: str, preset: str, task: str | None) -> None:
    trains, wanted = check_preset(preset).task, task or space.task
    if wanted is None or trains == wanted or "/" in preset:  # NAME/TASK says which task is meant
        return
    if task is not None:
        raise InputError(f"--task {task} and --preset {preset} contradict each other: the preset trains {trains}")
    anyway = f"--task {trains} to score its designs by {trains} all the same"
    usual = "" if wanted == "multimodal" else f"--preset {usual_preset(wanted, device)}, or "
    raise InputError(
        f"space '{space.name}' is about {wanted} and preset '{preset}' trains {trains}: write {usual}{anyway}"
    )


def _check_merges(space: SearchSpace, task: str) -> None:
    if max(space.counts) == 1:
        return
    unfit = [merge for merge in space.settings.merge if not merge_serves(merge, task)]
    if not unfit:
        return
    if len(unfit) < len(space.settings.merge):
        way_out = "take them out of its file"
    elif task == "classification":
        way_out = "add --task segmentation or --task detection"
    else:
        way_out = "add --task classification"
    raise InputError(
        f"designs of space '{space.name}' with merge={' or '.join(unfit)} cannot be trained for {task}: {way_out}"
    )

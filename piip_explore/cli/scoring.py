"""What scores the designs of a search: the options of `piip-explore search`, or what the study was begun with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from piip_explore.preset_names import check_preset

if TYPE_CHECKING:
    from piip_explore.search.evaluators import Evaluator
    from piip_explore.search.record import Record
    from piip_explore.space import SearchSpace

_OF_A_COMMAND = {"export_target": "target", "metric": "metric", "time_limit": "time_limit"}
_ONE_OF = ("preset", "evaluator", "evaluator_command")
OPTIONS = (*_ONE_OF, "task", *_OF_A_COMMAND)
"""The options of `piip-explore search` that say what scores designs."""


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, after a check that they go together.

    Raises:
        UsageError: they do not.
    """
    found = {name: value for name, value in options.items() if value is not None}
    if sum(name in found for name in _ONE_OF) > 1:
        raise click.UsageError("give one of --preset, --evaluator and --evaluator-command")
    if _OF_A_COMMAND.keys() & found and "evaluator_command" not in found:
        raise click.UsageError("--export-target, --metric and --time-limit need --evaluator-command")
    if "task" in found and {"evaluator", "evaluator_command"} & found.keys():
        raise click.UsageError("--task chooses a proxy preset: it cannot be used with your own evaluator")
    return found


def remembered(asked: Mapping[str, Any], record: Record | None) -> dict[str, Any]:
    """Return what names the evaluator: as asked now, else as the study has it."""
    if asked or record is None:
        return dict(asked)
    stored = record.asked.get("scoring")
    if stored:
        return dict(stored)
    before = record.evaluator
    if before.get("kind") == "command":  # a study of an earlier version, which did not keep what was asked
        return {"evaluator_command": before["command"], "export_target": before["target"], "metric": before["metric"]}
    if before.get("kind") == "proxy":
        return {"preset": before["preset"], "task": check_preset(before["preset"]).task}
    return {}


def check(scoring: Mapping[str, Any], space: SearchSpace, devices: Sequence[str] | None) -> None:
    """Check what names the evaluator as far as that goes without PyTorch, which takes seconds to load.

    Raises:
        InputError: an unknown preset, or one whose task is not the space's.
    """
    from piip_explore.device_name import canonical
    from piip_explore.search.task_choice import preset_of

    named = [canonical(device) for device in devices or ()]
    if not {"evaluator", "evaluator_command"} & scoring.keys():
        preset_of(space, named[0] if named else "cpu", scoring.get("preset"), scoring.get("task"))


def evaluator(scoring: Mapping[str, Any], space: SearchSpace, device: str, measured: tuple[str, ...]) -> Evaluator:
    """Return the evaluator that `scoring` names; `measured` are the objectives that are measured on the device.

    Raises:
        InputError: there is none, or the proxy's task is not the space's.
    """
    if "evaluator_command" in scoring:
        from piip_explore.export.command_evaluator import CommandEvaluator

        own = {name: scoring[option] for option, name in _OF_A_COMMAND.items() if scoring.get(option) is not None}
        return CommandEvaluator(scoring["evaluator_command"], **own)
    if "evaluator" in scoring:
        from piip_explore.search import custom

        return custom.load(scoring["evaluator"])
    from piip_explore.search.evaluators import ProxyEvaluator
    from piip_explore.search.task_choice import preset_of

    return ProxyEvaluator(preset_of(space, device, scoring.get("preset"), scoring.get("task")), measured)

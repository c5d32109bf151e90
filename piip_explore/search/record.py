"""What a study and its trials record.

A study's user attribute `record` holds all of this, written at once:

    format              version of this record
    space               `SearchSpace.summary()`: name, task, choices, constraints, size
    choices             the values of every parameter, in the order of their Optuna distributions
    objectives          names of the values, in order: score, gflops, params, latency, memory, energy, latency@PROFILE
    accounting          what counts as a FLOP for the objective and the limits: published or built
    limits              max_gflops, max_params, max_latency_ms such as 25@h100 (null: none)
    profiles            when the device profiles were measured that objectives and limits name
    rungs               fidelities of the rungs, rising to the full run; 0: judged untuned
    seed                seed of every proxy run, and of the sampler
    evaluator           what scores designs: kind, preset, preset_hash, metric
    conditions          what scores depend on at the last search: code_version, kernel_backend
    asked               what searches named and later ones take up: trials, sampler, scoring (what names the evaluator)

A trial is one evaluation of a design at one fidelity. Its values are the objectives and its parameters the design's
choices. It is COMPLETE at full fidelity and PRUNED, with its values, at a lower rung. Its user attributes:

    design, id          the design's text and its id
    fidelity, rung      share of a full run, and its number among the rungs (from 0)
    seed                the proxy run's seed
    gflops_published    full-scale GFLOPs of the design in both accountings
    gflops_built
    params              its number of parameters
    latency@PROFILE     milliseconds as predicted from a device profile, where an objective or a limit names it
    worker              host and device that it runs or ran on; pid and lease of the search
    standard_error      of the score, where it is known
    seconds             of training; of validation at fidelity 0
    peak_memory         bytes, of the proxy run
    latency, memory     milliseconds, peak bytes and joules of the full-scale design's forward pass, where they are
    energy              objectives
    conditions          what the score depends on: device, code_version, kernel_backend, preset, torch, ...
    metrics             further metrics of the task
    curve               the training loss: pairs of samples seen and smoothed loss
    metric_curve        the score's metric on some held-out samples: pairs of samples seen and metric
    failure             why it failed
    final               true on a failed trial that is not queued again (crashes, infeasible, diverged)
    retry_of            number of the failed trial that this one repeats
    superseded_by       number of the trial that evaluates the design instead of this failed one
    crashes             why evaluations of the design crashed before, where the design is at fault
    interruptions       how often the end of its search interrupted it before
    kills               how often its worker was killed from outside before

What an evaluation found (`standard_error` to `metric_curve`) is one attribute, `result`, written at once. Format 1 had
an attribute for each entry of `record` and `result`. `piip_explore.search.columns` reads either as columns; the entries
of `conditions` become columns of their own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from piip_explore.errors import InputError, expected
from piip_explore.search.evaluators import Outcome
from piip_explore.search.pool import PREDICTED_LATENCY, Limits
from piip_explore.search.storage.table import RECORD, RESULT
from piip_explore.space import Accounting

FORMAT = 2

OBJECTIVES = {
    "score": "maximize",
    "gflops": "minimize",
    "params": "minimize",
    "latency": "minimize",
    "memory": "minimize",
    "energy": "minimize",
}
"""Objectives and their directions; `gflops` counts under the study's accounting.

Beside these there is `latency@PROFILE`, to minimise: predicted from a device profile, and known before training.
"""

MEASURED = ("latency", "memory", "energy")
"""Objectives that are measured on the device, of the full-scale design."""

_LATER = ("conditions", "profiles", "asked")
"""Entries that studies of earlier versions lack."""


@dataclass(frozen=True)
class Record:
    """What a study is: see the module's docstring for the fields."""

    space: Mapping[str, Any]
    choices: Mapping[str, Sequence[Any]]
    evaluator: Mapping[str, Any]
    objectives: tuple[str, ...] = ("score", "gflops")
    accounting: Accounting = "published"
    limits: Limits = field(default_factory=Limits)
    rungs: tuple[float, ...] = (1.0,)
    seed: int = 0
    conditions: Mapping[str, str] = field(default_factory=dict)
    profiles: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = [name for name in self.objectives if name not in OBJECTIVES and not predicted_on(name)]
        if unknown:
            raise InputError(f"unknown objective '{unknown[0]}': {expected(unknown[0], OBJECTIVES)}")
        if len(set(self.objectives)) != len(self.objectives) or len(self.objectives) < 2:
            raise InputError("a study needs two or more different objectives, such as score,gflops")
        if "score" not in self.objectives:
            raise InputError("a study needs the objective 'score': costs alone need no training, see 'enumerate'")
        if list(self.rungs) != sorted(set(self.rungs)) or not self.rungs or self.rungs[0] < 0 or self.rungs[-1] != 1:
            shown = ",".join(f"{rung:g}" for rung in self.rungs)
            raise InputError(f"rungs {shown}: expected rising shares of a full run that end with 1, such as 0.1,1")

    @property
    def directions(self) -> tuple[str, ...]:
        """Direction of every objective."""
        return tuple(OBJECTIVES.get(name, "minimize") for name in self.objectives)

    @property
    def measured(self) -> tuple[str, ...]:
        """Objectives that are measured on the device."""
        return tuple(name for name in self.objectives if name in MEASURED)

    @property
    def gflops(self) -> str:
        """The cost column of the objective `gflops`."""
        return f"gflops_{self.accounting}"

    def cost_column(self, objective: str) -> str | None:
        """Return the cost column that holds an objective, None if it is only known after training."""
        return {"gflops": self.gflops, "params": "params"}.get(
            objective, objective if predicted_on(objective) else None
        )

    def values(self, outcome: Outcome, costs: Mapping[str, Any]) -> list[float]:
        """Return the objectives of a trial from what its evaluation found and what its design costs; NaN if unknown."""
        found = {name: getattr(outcome, name) for name in ("score", *MEASURED)}
        values = [found.get(name, costs.get(self.cost_column(name) or "")) for name in self.objectives]
        return [float("nan") if value is None else float(value) for value in values]

    def to_attributes(self) -> dict[str, Any]:
        """Return the study's user attribute."""
        values = {"format": FORMAT, **vars(self)}
        values["limits"] = asdict(self.limits)
        values["choices"] = {name: list(choices) for name, choices in self.choices.items()}
        return {RECORD: {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Record:
        """Read the record back from its entries.

        Raises:
            InputError: the study was not made by `piip-explore search`, or by a newer version of it.
        """
        if attributes.get("format", 0) > FORMAT:
            raise InputError("this study was made by a newer version of piip-explore: update it")
        try:
            names = [one.name for one in fields(cls) if one.name in attributes or one.name not in _LATER]
            entries = {name: attributes[name] for name in names}
            entries["objectives"] = tuple(entries["objectives"])
            entries["limits"] = Limits(**entries["limits"])
            entries["rungs"] = tuple(float(rung) for rung in entries["rungs"])
            return cls(**entries)
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"this study was not made by 'piip-explore search' (its record lacks {error})") from None


def predicted_on(objective: str) -> str:
    """Return the device profile that an objective is predicted from, empty for others."""
    return objective.removeprefix(PREDICTED_LATENCY) if objective.startswith(PREDICTED_LATENCY) else ""


def outcome_attributes(outcome: Outcome) -> dict[str, Any]:
    """Return what a trial records of an evaluation, beside its values."""
    found: dict[str, Any] = {
        **{name: getattr(outcome, name) for name in ("standard_error", "seconds", "peak_memory", *MEASURED)},
        "conditions": dict(outcome.conditions) or None,
        "metrics": dict(outcome.details) or None,
        "curve": _rounded(outcome.curve),
        "metric_curve": _rounded(outcome.metric_curve),
    }
    return {RESULT: {name: value for name, value in found.items() if value is not None}}


def _rounded(curve: Sequence[tuple[int, float]]) -> list[list[float]] | None:
    return [[seen, float(f"{value:.4g}")] for seen, value in curve if math.isfinite(value)] or None

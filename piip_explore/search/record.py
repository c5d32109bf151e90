"""What a study and its trials record.

A study's user attributes:

    format              version of this record
    space               `SearchSpace.summary()`: name, axes, constraints, size
    choices             the values of every parameter, in the order of their Optuna distributions
    objectives          names of the values, in order: score, gflops, params, latency, memory
    accounting          what counts as a FLOP for the objective and the limits: published or built
    limits              max_gflops, max_params (null: none)
    rungs               fidelities of the rungs, rising to the full run
    seed                seed of every proxy run, and of the sampler
    evaluator           what scores designs: kind, preset, preset_hash, metric
    conditions          what scores depend on at the last search: code_version, kernel_backend

A trial is one evaluation of a design at one fidelity. Its values are the objectives and its parameters the design's
choices. It is COMPLETE at full fidelity and PRUNED, with its values, at a lower rung. Its user attributes:

    design, id          the design's text and its id
    fidelity, rung      share of a full run, and its number among the rungs (from 0)
    seed                the proxy run's seed
    gflops_published    full-scale GFLOPs of the design in both accountings
    gflops_built
    params              its number of parameters
    worker              host, pid, device and lease of who runs or ran it
    standard_error      of the score, where it is known
    seconds             of training
    peak_memory         bytes, of the proxy run
    latency, memory     milliseconds and peak bytes of the full-scale design's forward pass, where they are objectives
    conditions          what the score depends on: device, code_version, kernel_backend, preset, torch, ...
    metrics             further metrics of the task
    curve               the training loss: pairs of samples seen and smoothed loss
    failure             why it failed
    final               true on a failed trial that is not queued again (poison, infeasible, diverged)
    retry_of            number of the failed trial that this one repeats
    superseded_by       number of the trial that evaluates the design instead of this failed one
    deaths              how many workers died on this design at this rung before
    interruptions       how often it was interrupted by the end of its search

`piip_explore.search.columns` reads all of this as columns; the entries of `conditions` become columns of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.evaluators import Outcome
from piip_explore.search.pool import Limits
from piip_explore.space import Accounting

FORMAT = 1

OBJECTIVES = {
    "score": "maximize",
    "gflops": "minimize",
    "params": "minimize",
    "latency": "minimize",
    "memory": "minimize",
}
"""Every objective and its direction; `gflops` counts under the study's accounting."""

MEASURED = ("latency", "memory")
"""Objectives that are measured on the device, of the full-scale design."""


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

    def __post_init__(self) -> None:
        unknown = [name for name in self.objectives if name not in OBJECTIVES]
        if unknown:
            raise InputError(f"unknown objective '{unknown[0]}': expected some of {', '.join(OBJECTIVES)}")
        if len(set(self.objectives)) != len(self.objectives) or len(self.objectives) < 2:
            raise InputError("a study needs two or more different objectives, such as score,gflops")
        if "score" not in self.objectives:
            raise InputError("a study needs the objective 'score': costs alone need no training, see 'enumerate'")
        if list(self.rungs) != sorted(set(self.rungs)) or not self.rungs or self.rungs[0] <= 0 or self.rungs[-1] != 1:
            shown = ",".join(f"{rung:g}" for rung in self.rungs)
            raise InputError(f"rungs {shown}: expected rising shares of a full run that end with 1, such as 0.1,1")

    @property
    def directions(self) -> tuple[str, ...]:
        """Direction of every objective."""
        return tuple(OBJECTIVES[name] for name in self.objectives)

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
        return {"gflops": self.gflops, "params": "params"}.get(objective)

    def values(self, outcome: Outcome, costs: Mapping[str, Any]) -> list[float]:
        """Return the objectives of a trial from what its evaluation found and what its design costs; NaN if unknown."""
        known = {
            "score": outcome.score,
            "gflops": costs.get(self.gflops),
            "params": costs.get("params"),
            "latency": outcome.latency,
            "memory": outcome.memory,
        }
        return [float("nan") if (value := known[name]) is None else float(value) for name in self.objectives]

    def to_attributes(self) -> dict[str, Any]:
        """Return the study's user attributes."""
        values = {"format": FORMAT, **vars(self)}
        values["limits"] = asdict(self.limits)
        values["choices"] = {name: list(choices) for name, choices in self.choices.items()}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Record:
        """Read the record back.

        Raises:
            InputError: the study was not made by `piip-explore search`, or by a newer version of it.
        """
        if attributes.get("format", 0) > FORMAT:
            raise InputError("this study was made by a newer version of piip-explore: update it")
        try:
            return cls(
                space=attributes["space"],
                choices=attributes["choices"],
                evaluator=attributes["evaluator"],
                objectives=tuple(attributes["objectives"]),
                accounting=attributes["accounting"],
                limits=Limits(**attributes["limits"]),
                rungs=tuple(float(rung) for rung in attributes["rungs"]),
                seed=attributes["seed"],
                conditions=attributes.get("conditions", {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"this study was not made by 'piip-explore search' (its record lacks {error})") from None


def outcome_attributes(outcome: Outcome) -> dict[str, Any]:
    """Return what a trial records of an evaluation, beside its values."""
    found: dict[str, Any] = {
        "standard_error": outcome.standard_error,
        "seconds": outcome.seconds,
        "peak_memory": outcome.peak_memory,
        "latency": outcome.latency,
        "memory": outcome.memory,
        "conditions": dict(outcome.conditions) or None,
        "metrics": dict(outcome.details) or None,
        "curve": [[seen, float(f"{loss:.4g}")] for seen, loss in outcome.curve] or None,
    }
    return {name: value for name, value in found.items() if value is not None}

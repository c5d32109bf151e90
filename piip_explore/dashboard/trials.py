"""A study's trials as columns that charts and tables use, and the filters over them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from piip_explore.dashboard import text
from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.design import Interaction, Merge
from piip_explore.errors import InputError
from piip_explore.search import pareto, report
from piip_explore.search.columns import Columns
from piip_explore.search.record import Record
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Texts = npt.NDArray[np.object_]


class Traits(NamedTuple):
    """What filters ask of a design, read from its text without building it.

    `sizes` are model and resolution of every branch, the largest image first.
    """

    sizes: tuple[tuple[str, int], ...]
    interactions: int
    merge: str

    @property
    def models(self) -> set[str]:
        """The models of the branches."""
        return {model for model, _ in self.sizes}

    @property
    def resolution(self) -> int:
        """The largest resolution in pixels."""
        return self.sizes[0][1]

    @classmethod
    def of(cls, design: str) -> Traits:
        """Read a design's canonical text; of one branch alone there are no interactions and no merge.

        Raises:
            ValueError: it is not a design's.
        """
        head, *options = design.split(";")
        branches = [token.partition("@") for token in head.split()]
        sizes = [(model, int(rest.partition(":")[0])) for model, _, rest in branches]
        given = dict(option.strip().split("=", 1) for option in options)
        alone = len(branches) < 2
        return cls(
            sizes=tuple(sorted(sizes, key=lambda branch: -branch[1])),
            interactions=0 if alone else int(given.get("interactions", Interaction.count)),
            merge="none" if alone else given.get("merge", Merge.kind),
        )


@dataclass(frozen=True)
class Trials:
    """A study's columns with what charts ask of them; one row per trial number.

    `features` maps the text of every design to what filters ask.
    """

    columns: Columns
    record: Record
    features: Mapping[str, Traits] = field(repr=False)

    def __len__(self) -> int:
        return len(self.columns)

    @property
    def state(self) -> npt.NDArray[np.int8]:
        """Optuna's number of every trial's state."""
        return self.columns.state

    @property
    def error(self) -> Floats:
        """Standard errors of the scores, NaN where unknown."""
        return self.columns.standard_error

    @cached_property
    def score(self) -> Floats:
        """Scores, NaN where there are none."""
        return self.columns.values[:, self.record.objectives.index("score")]

    @cached_property
    def designs(self) -> Texts:
        """Texts of the designs, None for a trial that is not ours."""
        return np.array([text if isinstance(text, str) else None for text in self.texts("design")], dtype=object)

    def texts(self, name: str) -> Texts:
        """Return a user attribute as texts, None where a trial lacks it."""
        column = self.columns.attributes.get(name)
        if column is None:
            return np.full(len(self), None, dtype=object)
        return np.asarray(column.astype(object).where(column.notna(), None), dtype=object)

    def floats(self, name: str) -> Floats:
        """Return a user attribute as numbers, NaN where a trial lacks it."""
        return self.columns.floats(name)

    def curve(self, row: int, what: Literal["loss", "metric"] = "loss") -> list[tuple[float, float]]:
        """Return samples seen, and a trial's training loss or its metric on some held-out samples; empty if unrecorded.

        Raises:
            InputError: what is recorded is not that.
        """
        recorded = self.columns.attributes_of(row).get("curve" if what == "loss" else "metric_curve")
        try:
            return [(float(seen), float(value)) for seen, value in recorded or ()]
        except (TypeError, ValueError):
            raise InputError(
                f"the {what} curve of trial {row} is not pairs of samples and {what}: it is not drawn"
            ) from None

    @cached_property
    def workers(self) -> list[Mapping[str, Any]]:
        """Who runs each of the running trials: host, pid, device and lease, as far as they are known."""
        found = self.texts("worker")[self.state == RUNNING]
        return [worker if isinstance(worker, dict) else {} for worker in found]

    @cached_property
    def finished(self) -> int:
        """How many trials have ended."""
        return int((~np.isin(self.state, (RUNNING, WAITING))).sum())

    @cached_property
    def conditions(self) -> str:
        """What the numbers depend on: accounting, preset, fidelity, seed, device, code and kernel."""
        return report.conditions_text(self.columns)

    @property
    def metric(self) -> str:
        """The name of the score."""
        return str(self.record.evaluator.get("metric", "score"))

    @cached_property
    def scored(self) -> Bools:
        """Feasible full runs with a score: those that fronts are made of."""
        return np.asarray(self.columns.full & np.isfinite(self.score))

    @cached_property
    def unscored(self) -> dict[str, Bools]:
        """Trials without a score that the chart can show, by what became of them."""
        return {
            "infeasible": (self.state == COMPLETE) & ~self.columns.feasible,
            "failed": self.state == FAIL,
            "shorter runs": self.state == PRUNED,
            "running": self.state == RUNNING,
        }

    def figures(self) -> dict[str, Floats]:
        """Return what tables say of every trial, by label: score, error, GFLOPs in both accountings, parameters (M)."""
        return {
            text.one_line(self.metric, 40): self.score,
            "± standard error": self.error,
            "GFLOPs published": self.floats("gflops_published"),
            "GFLOPs built": self.floats("gflops_built"),
            "parameters (M)": self.floats("params") / 1e6,
        }

    def quantities(self, accounting: str) -> dict[str, tuple[ChartAxis, Floats]]:
        """Return what may be on an axis: its label and direction, and its values (GFLOPs, M, ms, GiB)."""
        known = {
            "score": (ChartAxis(f"proxy score: {self.metric}", maximize=True, unit=self.metric), self.score),
            "gflops": (ChartAxis(f"GFLOPs ({accounting})", unit="GFLOPs"), self.floats(f"gflops_{accounting}")),
            "params": (ChartAxis("parameters (M)", unit="M parameters"), self.floats("params") / 1e6),
            "latency": (ChartAxis("latency of a forward pass (ms)", unit="ms"), self.floats("latency")),
            "memory": (ChartAxis("peak memory of a forward pass (GiB)", unit="GiB"), self.floats("memory") / 2**30),
            "energy": (ChartAxis("energy of a forward pass (J)", unit="J"), self.floats("energy")),
            "proxy_memory": (
                ChartAxis("peak memory of the proxy run (GiB)", unit="GiB"),
                self.floats("peak_memory") / 2**30,
            ),
        }
        return {name: (axis, values) for name, (axis, values) in known.items() if np.isfinite(values).any()}

    def labels(self, rows: npt.NDArray[np.integer]) -> Texts:
        """Return the designs of rows, ready for a hover card."""
        return np.array([_card(design) for design in self.designs[rows]], dtype=object)


def _card(design: str | None) -> str:
    head, _, options = text.plain(design or "").partition(";")
    return "<br>".join([*head.split(), options.strip()] if options else head.split())


@dataclass(frozen=True)
class Filters:
    """Which designs to show; an empty choice shows all. `models`: all of them are in the design.

    `trials`: none but these.
    """

    branches: tuple[int, ...] = ()
    models: tuple[str, ...] = ()
    resolution: tuple[int, int] | None = None
    interactions: tuple[int, ...] = ()
    merge: tuple[str, ...] = ()
    trials: frozenset[int] | None = None

    def mask(self, trials: Trials) -> Bools:
        """Return which trials fit."""
        if self == Filters():
            return np.ones(len(trials), dtype=bool)
        verdict = {design: self._fits(features) for design, features in trials.features.items()}
        fits = np.array([verdict.get(design, False) for design in trials.designs], dtype=bool)
        if self.trials is not None:
            fits &= np.isin(np.arange(len(trials)), list(self.trials))
        return fits

    def _fits(self, design: Traits) -> bool:
        low, high = self.resolution or (0, 1 << 30)
        return (
            (not self.branches or len(design.sizes) in self.branches)
            and set(self.models) <= design.models
            and low <= design.resolution <= high
            and (not self.interactions or design.interactions in self.interactions)
            and (not self.merge or design.merge in self.merge)
        )


def front_rows(x: Floats, y: Floats, axes: tuple[ChartAxis, ChartAxis], allowed: Bools) -> npt.NDArray[np.int64]:
    """Return the rows of the Pareto front among `allowed`, from the smallest x to the largest."""
    rows = np.flatnonzero(allowed & np.isfinite(x) & np.isfinite(y))
    front = rows[pareto.front(losses(x[rows], y[rows], axes))]
    return front[np.argsort(x[front], kind="stable")]


def losses(x: Floats, y: Floats, axes: tuple[ChartAxis, ChartAxis]) -> Floats:
    """Return both coordinates as losses, (trials, 2)."""
    directions = ["maximize" if axis.maximize else "minimize" for axis in axes]
    return pareto.to_losses(np.column_stack([x, y]), directions)


def of(columns: Columns, memory: dict[str, Traits]) -> Trials:
    """Return a study's trials; `memory` keeps the features of designs already seen.

    Raises:
        InputError: the study was not made by `piip-explore search`, or by a newer version of it.
    """
    trials = Trials(columns, Record.from_attributes(columns.record), memory)
    for design in set(trials.designs) - memory.keys() - {None}:
        with contextlib.suppress(ValueError):  # no design: no filter finds it, and its page says what is wrong
            memory[design] = Traits.of(design)
    return trials

"""From the times of a few parts to the latency of every design. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from piip_explore.cost.table import sums
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.latency.kinds import Kind, Sides, Unit, name, work
from piip_explore.latency.terms import terms
from piip_explore.space import SpaceColumns

Floats = npt.NDArray[np.float64]
MODULES = ("branch", "interactions", "merge", "pyramid")
CONSTANT = "constant"
_UNIT = 1e-3
"""Seconds in which the constant is fitted."""
_PULL = 0.1


class PartTimes:
    """How long parts take at any size, from measured times.

    Args:
        measured: seconds by sides, by the kind's name.
    """

    def __init__(self, measured: Mapping[str, Mapping[Sides, float]]) -> None:
        self._measured = measured
        self._known: dict[tuple[Kind, int], float] = {}
        self._units: dict[Kind, Floats] = {}

    def seconds(self, kind: Kind, *sides: Any) -> Any:
        """Return the seconds of a part; sides may be integer arrays, which are broadcast.

        Raises:
            InputError: the kind was not measured.
        """
        if isinstance(kind, Unit):
            queries, keys = (np.square(np.asarray(side, np.float64)) for side in sides)
            rates = self._unit(kind)
            return rates[0] + rates[1] * queries + rates[2] * keys + rates[3] * (queries * keys)
        if np.ndim(sides[0]) == 0:
            return self._at(kind, int(sides[0]))
        unique, inverse = np.unique(sides[0], return_inverse=True)
        return np.array([self._at(kind, int(side)) for side in unique])[inverse].reshape(np.shape(sides[0]))

    def _at(self, kind: Kind, side: int) -> float:
        """Interpolate the time per work between the sizes that were measured."""
        if (kind, side) not in self._known:
            measured = self._of(kind)
            known = sorted(measured)
            rates = [np.log(measured[sides] / work(kind, sides)) for sides in known]
            rate = np.interp(np.log(side), [np.log(sides[0]) for sides in known], rates)
            self._known[kind, side] = float(np.exp(rate)) * work(kind, (side,))
        return self._known[kind, side]

    def _unit(self, kind: Unit) -> Floats:
        """Fit the time of one direction: constant, per query, per key and, in regular attention, per pair of them."""
        if kind not in self._units:
            from scipy.optimize import nnls

            measured = self._of(kind)
            seconds = np.array(list(measured.values()))
            tokens = np.square(np.array(list(measured), np.float64))
            features = np.column_stack([np.ones(len(tokens)), tokens, tokens.prod(axis=1)])
            if kind.options.attention == "deformable":
                features[:, 3] = 0.0
            scale = np.maximum(features.max(axis=0), 1e-300)
            rates, _ = nnls(features / scale / seconds[:, None], np.ones(len(seconds)))
            self._units[kind] = rates / scale
        return self._units[kind]

    def _of(self, kind: Kind) -> Mapping[Sides, float]:
        measured = self._measured.get(name(kind))
        if not measured:
            raise InputError(
                f"no time of {name(kind)} was measured: run 'piip-explore measure-device' on a space that has it"
            )
        return measured


@dataclass(frozen=True)
class Error:
    """How far off predictions were on designs that took no part in the calibration.

    `mape` and `worst` are relative to the measured latency; `tau` is Kendall's between the two, `tau_flops` that of
    FLOPs (as built) and the measured latency. NaN where there were too few designs.
    """

    designs: int
    mape: float
    worst: float
    tau: float
    tau_flops: float

    def text(self) -> str:
        """Return one clause for people."""
        return f"off by {100 * self.mape:.1f} % on average and {100 * self.worst:.0f} % at worst, tau {self.tau:.2f}"


@dataclass(frozen=True)
class LatencyModel:
    """Latency as parts' times, weighted by module, and a constant; `factors` come from whole designs."""

    times: PartTimes
    factors: Mapping[str, float] = field(default_factory=dict)

    def seconds(self, design: Design) -> float:
        """Return a design's predicted latency."""
        return float(sum(self.by_module(design).values())) + self.factors.get(CONSTANT, 0.0)

    def by_module(self, design: Design) -> dict[str, float]:
        """Return a design's predicted seconds by module, without the constant."""
        found = dict.fromkeys(MODULES, 0.0)
        for term in terms(self.times, self.factors, design.interaction, design.sorted().merge, len(design.branches)):
            branches = [design.branches[design.order[place]] for place in term.places]
            found[term.module] += float(term.counts(*branches).seconds)
        return found

    def column(self, columns: SpaceColumns) -> Floats:
        """Return the predicted seconds of every row of a space's columns."""
        found: Floats = sums(columns, partial(terms, self.times, self.factors), ("seconds",), np.float64)[:, 0]
        found += self.factors.get(CONSTANT, 0.0)
        return found


def calibrate(times: PartTimes, designs: Sequence[Design], seconds: Sequence[float]) -> LatencyModel:
    """Weigh the modules so as to minimise relative errors on whole designs; no weight is negative."""
    from scipy.optimize import nnls

    plain = LatencyModel(times)
    measured = np.array(seconds)
    by_module = np.array([list(plain.by_module(design).values()) for design in designs])
    used = np.flatnonzero(by_module.any(axis=0))
    # A pull towards the plain sum, as strong as one design's error of a tenth, decides where designs do not.
    pull = np.eye(len(used), len(used) + 1) * _PULL
    rows = np.column_stack([by_module[:, used], np.full(len(measured), _UNIT)]) / measured[:, None]
    wanted = np.concatenate([np.ones(len(measured)), np.full(len(used), _PULL)])
    factors, _ = nnls(np.vstack([rows, pull]), wanted)
    weights = {MODULES[module]: float(factor) for module, factor in zip(used, factors, strict=False)}
    return LatencyModel(times, weights | {CONSTANT: float(factors[-1]) * _UNIT})


def error(predicted: Sequence[float], measured: Sequence[float], flops: Sequence[float]) -> Error:
    """Compare predictions with measurements."""
    from scipy.stats import kendalltau

    off = np.abs(np.array(predicted) / np.array(measured) - 1)
    taus = [float(kendalltau(values, measured).statistic) for values in (predicted, flops)]
    return Error(len(off), float(off.mean()), float(off.max()), *taus)

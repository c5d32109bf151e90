"""What a design is expected to reach, and which of two is better, with how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from scipy.stats import norm

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.predict.features import of_columns, of_designs
from piip_explore.predict.regression import NOISE, SCALE, TABLE, Regression
from piip_explore.predict.rows import METRICS, published_rows
from piip_explore.predict.support import Support
from piip_explore.space import SpaceColumns

LEVEL = 0.8
"""How often an interval should hold, and the probability from which an order is stated."""

SIGMAS = float(norm.ppf((1 + LEVEL) / 2))
"""Half an interval, in standard deviations."""

VAGUE = 1.3
"""The standard deviation, in points of box AP, above which no published row counts as near."""

_ROWS = 1 << 15


@dataclass(frozen=True)
class Expectation:
    """A design's expected metric (percent) with the interval that holds in 80 % of cases.

    `unlike` says how the design differs from every published row; then there are no numbers (NaN). `assumed` says what
    the numbers rest on besides published rows.
    """

    design: Design
    metric: str
    mean: float
    low: float
    high: float
    unlike: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExpectedOrder:
    """Two expectations, with the probability that the first design is better; NaN where one has no numbers."""

    first: Expectation
    second: Expectation
    probability: float

    @property
    def order(self) -> str:
        """`first`, `second`, or `cannot tell` where neither order is at least 80 % probable."""
        if self.probability >= LEVEL:
            return "first"
        return "second" if self.probability <= 1 - LEVEL else "cannot tell"


def expect(design: Design, metric: str = "box_ap") -> Expectation:
    """Return what full training under the papers' usual recipe would give.

    Raises:
        InputError: there is no such metric.
    """
    regression, support = _fitted(metric)
    unlike = support.reasons(design)
    mean, deviation = regression.predict(metric, of_designs([design]))
    if not unlike and deviation[0] > VAGUE * SCALE[metric]:
        unlike = [f"no row with {METRICS[metric]} is near it"]
    if unlike:
        return Expectation(design, metric, np.nan, np.nan, np.nan, tuple(unlike))
    half = SIGMAS * float(np.sqrt(deviation[0] ** 2 + TABLE**2 + NOISE**2))
    center = float(mean[0])
    return Expectation(design, metric, center, center - half, center + half, assumed=support.assumed(design))


def compare(first: Design, second: Design, metric: str = "box_ap") -> ExpectedOrder:
    """Return both expectations and how probably the first design, trained beside the second, comes out better.

    Raises:
        InputError: there is no such metric.
    """
    one, other = expect(first, metric), expect(second, metric)
    if one.unlike or other.unlike:
        return ExpectedOrder(one, other, float("nan"))
    covariance = _fitted(metric)[0].covariance(metric, of_designs([first, second]))
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1] + 2 * NOISE**2
    return ExpectedOrder(one, other, float(norm.cdf((one.mean - other.mean) / np.sqrt(variance))))


def columns(designs: SpaceColumns, metric: str = "box_ap") -> pd.DataFrame:
    """Return `expected`, `expected_low` and `expected_high` for every design of a space's columns.

    Designs that nothing published is like have NaN.

    Raises:
        InputError: there is no such metric.
    """
    regression, support = _fitted(metric)
    found = np.full((len(designs), 3), np.nan)
    for start in range(0, len(designs), _ROWS):
        rows = slice(start, start + _ROWS)
        some = designs.rows(rows)
        features = of_columns(some)
        mean, deviation = regression.predict(metric, features)
        half = SIGMAS * np.sqrt(deviation**2 + TABLE**2 + NOISE**2)
        told = support.covers(some, features)
        told &= deviation <= VAGUE * SCALE[metric]
        found[rows][told] = np.column_stack([mean, mean - half, mean + half])[told]
    return pd.DataFrame(found, columns=["expected", "expected_low", "expected_high"])


def table(designs: Sequence[Design], metric: str = "box_ap") -> pd.DataFrame:
    """Return `columns` of a list of designs, which may be empty.

    Raises:
        InputError: there is no such metric.
    """
    return columns(SpaceColumns.of(designs), metric)


@cache
def _fitted(metric: str) -> tuple[Regression, Support]:
    if metric not in METRICS:
        raise InputError(f"metric '{metric}': expected one of {', '.join(METRICS)}")
    return Regression(published_rows()), Support(published_rows(), metric)

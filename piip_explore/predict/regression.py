"""A Gaussian process over the published rows, with priors that say what is plainly true of vision backbones.

A row's metric is a sum of: a level per metric; a straight line in the features, whose slopes have a prior and are
shared by the metrics but for a deviation of each; a smooth departure from that line; offsets of the recipe, the
pre-training and the table; and noise. All of them are Gaussian, so that the sum is one Gaussian process (Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, Sec. 2.2 and 2.7), which scikit-learn fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from piip_explore.predict.features import FEATURES, Floats, of_designs
from piip_explore.predict.rows import METRICS, USUAL, Published

SCALE = {"box_ap": 1.0, "miou": 0.8, "top1": 0.35}
"""What a point of box AP is worth in points of each metric: the less is left to gain, the less."""

_LEVEL = {"box_ap": 45.0, "miou": 52.0, "top1": 83.0}
_LEVEL_SPREAD = 20.0
_DEVIATION = 0.5
"""A metric's own slope deviates from the shared one by half of that one's spread."""
_RECIPE, _PRETRAIN, TABLE, NOISE = 3.0, 1.3, 0.5, 0.3
"""Standard deviations in points: between recipes, pre-trainings and tables, and of a row."""
_DEPARTURE = 0.8
_FAR = 1e6


@dataclass(frozen=True)
class Regression:
    """The regression on some published rows. Two different numbers may be asked of it: see `predict`."""

    rows: Published

    def predict(self, metric: str, features: Floats) -> tuple[Floats, Floats]:
        """Return the expected metric under the usual recipe and its standard deviation, for `(n, features)`.

        The deviation is that of what the regression knows: without noise and the offset of a further table.
        """
        mean, deviation = self._process.predict(self._inputs(metric, features), return_std=True)
        return mean + _prior_mean(metric, features), deviation

    def covariance(self, metric: str, features: Floats) -> Floats:
        """Return the covariance `(n, n)` of what `predict` expects."""
        _, found = self._process.predict(self._inputs(metric, features), return_cov=True)
        return np.asarray(found, np.float64)

    def predict_rows(self, rows: Published) -> tuple[Floats, Floats]:
        """Return the mean and standard deviation of published rows' metrics, each under its own recipe and table.

        The deviation includes noise: a row should be within 1.28 of them four times in five.
        """
        mean, deviation = self._process.predict(self._inputs_of(rows), return_std=True)
        variance = deviation**2 + NOISE**2
        for column, (known, spread) in zip((rows.recipe, rows.pretrain, rows.table), self._groups, strict=True):
            variance += spread**2 * np.array([name not in known for name in column])
        return mean + _prior_means(rows), np.sqrt(variance)

    @cached_property
    def _process(self) -> Any:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct

        count = len(FEATURES)
        width = self._inputs_of(self.rows).shape[1]
        lengths = np.full(width, _FAR)  # the departure depends on the shared features and the metric alone
        lengths[:count] = [feature.length / feature.spread for feature in FEATURES]
        lengths[count : count + len(METRICS)] = 1.2 * _LEVEL_SPREAD
        kernel = DotProduct(1e-3) + ConstantKernel(_DEPARTURE**2) * RBF(lengths)
        process = GaussianProcessRegressor(kernel, alpha=NOISE**2, optimizer=None)
        return process.fit(self._inputs_of(self.rows), self.rows.value - _prior_means(self.rows))

    @cached_property
    def _groups(self) -> tuple[tuple[tuple[str, ...], float], ...]:
        """Return the names of recipes, pre-trainings and tables that the rows have, each with its spread."""
        rows = self.rows
        columns = ((rows.recipe, _RECIPE), (rows.pretrain, _PRETRAIN), (rows.table, TABLE))
        return tuple((tuple(dict.fromkeys(names)), spread) for names, spread in columns)

    def _inputs_of(self, rows: Published) -> Floats:
        features = of_designs(rows.design)
        return self._encode(features, rows.metric, (rows.recipe, rows.pretrain, rows.table))

    def _inputs(self, metric: str, features: Floats) -> Floats:
        count = len(features)
        return self._encode(features, [metric] * count, ([USUAL[metric]] * count, ["usual"] * count, [""] * count))

    def _encode(self, features: Floats, metrics: Sequence[str], names: Sequence[Sequence[str]]) -> Floats:
        """Return the inputs of the process: a dot product of two of them is their prior covariance.

        A group that no row has (a new table, say) is left out here: its offset, of mean 0, is added as variance.
        """
        spread = np.array([feature.spread for feature in FEATURES])
        scale = np.array([SCALE[metric] for metric in metrics])[:, None]
        shared = _centered(features) * spread * scale
        which = _one_hot(metrics, tuple(METRICS))
        parts = [shared, which * _LEVEL_SPREAD]
        parts += [shared * _DEVIATION * which[:, [column]] for column in range(len(METRICS))]
        parts += [_one_hot(column, known) * size for column, (known, size) in zip(names, self._groups, strict=True)]
        return np.hstack(parts)


def _centered(features: Floats) -> Floats:
    return np.asarray(features - np.array([feature.center for feature in FEATURES]), np.float64)


def _prior_mean(metric: str, features: Floats) -> Floats:
    slopes = np.array([feature.slope for feature in FEATURES])
    return np.asarray(_LEVEL[metric] + SCALE[metric] * (_centered(features) @ slopes), np.float64)


def _prior_means(rows: Published) -> Floats:
    features = of_designs(rows.design)
    return np.array([_prior_mean(metric, row[None])[0] for metric, row in zip(rows.metric, features, strict=True)])


def _one_hot(names: Sequence[str], known: Sequence[str]) -> Floats:
    return np.array([[name == other for other in known] for name in names], np.float64)

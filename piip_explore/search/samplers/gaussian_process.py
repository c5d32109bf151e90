"""A Gaussian process for a few hundred observations, in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve, solve_triangular
from scipy.optimize import minimize

Floats = npt.NDArray[np.float64]

_PRIOR_SCALE = (np.log(1.0), 1.0)  # of a group's log length scale: mean, deviation
_PRIOR_NOISE = (np.log(1e-3), 2.0)  # of the log noise variance (scores are standardised)
_JITTER = 1e-8
_REFIT = 1.15
"""Hyperparameters are fitted again when the number of observations has grown by this factor."""


class GaussianProcess:
    """Matern-5/2 kernel, one length scale per group of feature columns, constant mean; hyperparameters by MAP.

    `groups` maps each feature column to its group, (columns,).
    """

    def __init__(self, groups: npt.NDArray[np.int64]) -> None:
        self.groups = groups
        self._theta = np.zeros(int(groups.max(initial=-1)) + 1 + 2)  # log scales, log signal variance, log noise
        self._theta[:-2], self._theta[-1] = _PRIOR_SCALE[0], _PRIOR_NOISE[0]
        self._fitted_to = 0

    def fit(self, x: Floats, y: Floats, standard_error: Floats) -> None:
        """Condition on observations: features (n, columns), values and their standard errors (n,)."""
        self._centre, self._spread = float(y.mean()), float(y.std()) or 1.0
        z = (y - self._centre) / self._spread
        extra = (standard_error / self._spread) ** 2
        if len(y) >= self._fitted_to * _REFIT:
            self._theta = self._maximise(x, z, extra)
            self._fitted_to = len(y)
        self._condition(x, z, extra)

    def believe(self, x: Floats) -> None:
        """Condition on points under way as if they came out as predicted."""
        mean, _ = self.predict(x)
        z = np.concatenate((self._z, (mean - self._centre) / self._spread))
        self._condition(np.vstack((self._x, x)), z, np.concatenate((self._extra, np.zeros(len(x)))))

    def predict(self, x: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation of the noiseless value at `x`."""
        variance = float(np.exp(self._theta[-2]))
        cross = variance * _matern(self._distances(x, self._x, self._theta))
        mean = cross @ self._weights
        half = solve_triangular(self._chol, cross.T, lower=True, check_finite=False)
        left = np.maximum(variance - (half * half).sum(axis=0), 1e-12)
        return mean * self._spread + self._centre, np.sqrt(left) * self._spread

    def _condition(self, x: Floats, z: Floats, extra: Floats) -> None:
        self._x, self._z, self._extra = x, z, extra
        kernel = np.exp(self._theta[-2]) * _matern(self._distances(x, x, self._theta))
        kernel[np.diag_indices_from(kernel)] += np.exp(self._theta[-1]) + extra + _JITTER
        self._chol = np.linalg.cholesky(kernel)
        self._weights = cho_solve((self._chol, True), z)

    def _distances(self, a: Floats, b: Floats, theta: Floats) -> Floats:
        scale = np.exp(-theta[:-2])[self.groups]
        a, b = a * scale, b * scale
        square = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
        distances: Floats = np.sqrt(np.maximum(square, 0.0))
        return distances

    def _maximise(self, x: Floats, z: Floats, extra: Floats) -> Floats:
        count = len(self._theta) - 2
        squares = np.zeros((count, len(x), len(x)))
        for column, group in enumerate(self.groups):
            difference = x[:, column, None] - x[None, :, column]
            squares[group] += difference * difference
        bounds: Any = [(-3.0, 4.0)] * count + [(-4.0, 4.0), (-14.0, 1.0)]
        found = minimize(
            _posterior,
            self._theta,
            (squares, z, extra),
            method="L-BFGS-B",
            jac=True,
            bounds=bounds,
            options={"maxiter": 60},
        )
        theta: Floats = found.x
        return theta


def _matern(r: Floats) -> Floats:
    s = np.sqrt(5.0) * r
    result: Floats = (1 + s + s * s / 3) * np.exp(-s)
    return result


def _posterior(theta: Floats, squares: Floats, z: Floats, extra: Floats) -> tuple[float, Floats]:
    """Negative log marginal likelihood plus priors, and its gradient."""
    count, n = len(theta) - 2, len(z)
    inverse = np.exp(-2 * theta[:count])
    r = np.sqrt(np.einsum("g,gij->ij", inverse, squares))
    s = np.sqrt(5.0) * r
    decay = np.exp(-s)
    variance, noise = np.exp(theta[-2]), np.exp(theta[-1])
    kernel = variance * (1 + s + s * s / 3) * decay
    full = kernel + np.diag(noise + extra + _JITTER)
    try:
        chol = np.linalg.cholesky(full)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(theta)
    weights = cho_solve((chol, True), z)
    value = 0.5 * z @ weights + np.log(np.diag(chol)).sum()
    outer = 0.5 * (cho_solve((chol, True), np.eye(n)) - np.outer(weights, weights))
    # d matern / d log scale_g = 5/3 (1 + s) exp(-s) squares_g / scale_g^2
    common = outer * variance * (5.0 / 3.0) * (1 + s) * decay
    gradient = np.empty_like(theta)
    gradient[:count] = np.einsum("ij,gij->g", common, squares) * inverse
    gradient[-2] = (outer * kernel).sum()
    gradient[-1] = noise * np.trace(outer)
    for part, (mean, deviation) in ((slice(0, count), _PRIOR_SCALE), (slice(-1, None), _PRIOR_NOISE)):
        off = (theta[part] - mean) / deviation
        value += 0.5 * float((off * off).sum())
        gradient[part] += off / deviation
    value += 0.5 * theta[-2] ** 2
    gradient[-2] += theta[-2]
    return float(value), gradient

"""Optuna's samplers, on a study in memory that is told what is known.

An Optuna sampler is asked for axis codes until they name a design that is not taken. Codes of a design whose values are
known are told to the sampler at once and cost no training; codes that no feasible design has are told as failed.
"""

from __future__ import annotations

import warnings

import numpy as np
import optuna
from optuna.distributions import BaseDistribution

from piip_explore.search.pool import Pool
from piip_explore.search.samplers.base import Observations

_MEMORY = 1_000
"""Results told to a sampler at once, the newest: telling it 100,000 of a resumed study would take minutes."""

_TRIES = 60
"""Asks for one proposal; after them the free design nearest to the last answer is taken."""


class OptunaSampler:
    """An Optuna sampler (`tpe`, `nsga2`, `nsga3`, `gp`) over a pool's axes, with all objectives minimised."""

    def __init__(self, pool: Pool, name: str, seed: int, objectives: int) -> None:
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # its studies in memory are nobody's news
        self.pool = pool
        self._study = optuna.create_study(
            directions=["minimize"] * objectives,
            sampler=_sampler(name, seed),
            storage=optuna.storages.InMemoryStorage(),
        )
        self._distributions: dict[str, BaseDistribution] = {
            axis.name: optuna.distributions.IntDistribution(0, len(axis.choices) - 1)
            if axis.ordered
            else optuna.distributions.CategoricalDistribution(range(len(axis.choices)))
            for axis in pool.axes
        }
        self._told = 0
        self._asked: dict[int, optuna.Trial] = {}
        self._rng = np.random.default_rng(seed)

    def propose(self, observations: Observations) -> int | None:
        """Return the first free row that the sampler names."""
        if observations.taken.all():
            return None
        self._tell(observations)
        known = {int(row): at for at, row in enumerate(observations.rows)}
        codes: dict[str, int] = {}
        for _ in range(_TRIES):
            trial = self._study.ask(self._distributions)
            codes = trial.params
            row = self.pool.find([codes[axis.name] for axis in self.pool.axes])
            if row is not None and not observations.taken[row]:
                self._asked[row] = trial
                return row
            if row is not None and row in known:
                self._study.tell(trial, observations.losses[known[row]].tolist())
            else:
                self._study.tell(trial, state=optuna.trial.TrialState.FAIL)
        return self._nearest(codes, observations)

    def _tell(self, observations: Observations) -> None:
        """Tell what became known since the last proposal, whoever proposed it."""
        news = slice(max(self._told, len(observations.rows) - _MEMORY), None)
        for row, losses in zip(observations.rows[news], observations.losses[news], strict=True):
            trial = self._asked.pop(int(row), None)
            if trial is not None:
                self._study.tell(trial, losses.tolist())
            else:
                codes = {a.name: int(c) for a, c in zip(self.pool.axes, self.pool.codes[row], strict=True)}
                done = optuna.trial.create_trial(
                    values=losses.tolist(), params=codes, distributions=self._distributions
                )
                self._study.add_trial(done)
        self._told = len(observations.rows)
        pending = set(observations.pending.tolist())
        for row in [row for row in self._asked if row not in pending]:
            self._study.tell(self._asked.pop(row), state=optuna.trial.TrialState.FAIL)

    def _nearest(self, codes: dict[str, int], observations: Observations) -> int:
        free = np.flatnonzero(~observations.taken)
        if len(free) > 100_000:
            free = self._rng.choice(free, 100_000, replace=False)
        distance = np.zeros(len(free))
        for axis, column in zip(self.pool.axes, self.pool.codes.T, strict=True):
            apart = np.abs(column[free] - codes[axis.name])
            distance += apart / (len(axis.choices) - 1) if axis.ordered else (apart > 0)
        return int(free[np.argmin(distance)])


def _sampler(name: str, seed: int) -> optuna.samplers.BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(multivariate=True, seed=seed)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(population_size=20, seed=seed)
    if name == "nsga3":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.NSGAIIISampler(population_size=20, seed=seed)
    return optuna.samplers.GPSampler(seed=seed)

"""Limits on other costs than the one on x, against a search over all trials."""

from __future__ import annotations

import numpy as np
import pytest

from piip_explore.dashboard import filters, limits
from piip_explore.dashboard.trials import Filters, Trials, of
from piip_explore.search.columns import read
from tests.dashboard import synthetic


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    path = tmp_path_factory.mktemp("limits") / "demo.journal"
    synthetic.write(path, "demo", 80)
    return of(read(path, "demo"), {})


def test_the_rows_within_limits_are_those_that_cost_no_more(trials: Trials) -> None:
    params = trials.floats("params") / 1e6
    bound = float(np.median(params))
    assert limits.within(trials, (("mparams", bound),)).tolist() == np.flatnonzero(params <= bound).tolist()
    assert len(limits.within(trials, ())) == len(trials)


def test_the_sentence_names_the_best_and_what_the_limit_costs(trials: Trials) -> None:
    tradeoff = filters.tradeoff(trials, "published", "gflops", "score", True, Filters())
    params, budget = trials.floats("params") / 1e6, float(np.quantile(tradeoff.x[tradeoff.shown], 0.9))
    bound = float(np.quantile(params[tradeoff.shown], 0.2))
    inside = tradeoff.shown & (tradeoff.x <= budget)
    best = int(max(np.flatnonzero(inside & (params <= bound)), key=lambda row: trials.score[row]))
    free = int(max(np.flatnonzero(inside), key=lambda row: trials.score[row]))
    assert best != free, "this limit costs something"
    words = limits.sentence(tradeoff, "gflops", (("mparams", bound),), budget)
    assert words.startswith(f"Within {budget:,g} GFLOPs and {bound:,g} M parameters trial {best} is best")
    gain = trials.score[free] - trials.score[best]
    assert f"Without the limit of {bound:,g} M parameters trial {free} scores {gain:.2g}" in words
    assert limits.sentence(tradeoff, "gflops", (), budget) == ""
    assert "there is no design" in limits.sentence(tradeoff, "gflops", (("mparams", 1e-3),), budget)

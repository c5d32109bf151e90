"""One contract for every sampler; then what the Gaussian process is for."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from piip_explore.errors import InputError
from piip_explore.search import pareto
from piip_explore.search.record import Record
from piip_explore.search.samplers import SAMPLERS, choose, make
from piip_explore.search.samplers.expected_hypervolume import expected_growth
from piip_explore.search.samplers.gaussian_process import GaussianProcess, _posterior
from piip_explore.testing.samplers import SMALL, SamplerContract, losses_of, observe, propose_all
from tests.search.replayed import replayed_pool


def record(**more) -> Record:
    return Record(space={}, choices={}, evaluator={}, **more)


def run(name, pool, count, seed=0, delay=0):
    return propose_all(make(name, pool, record(seed=seed)), pool, count, seed, delay)


class Named(SamplerContract):
    name: str

    def make(self, pool, record):
        return make(self.name, pool, record)


class TestExhaustive(Named):
    name, draws = "exhaustive", False


class TestRandom(Named):
    name = "random"


class TestGaussianProcess(Named):
    name = "gp"


class TestTpe(Named):
    name = "tpe"


class TestNsga2(Named):
    name = "nsga2"


class TestNsga3(Named):
    name = "nsga3"


def test_every_sampler_is_tested():
    assert {case.name for case in Named.__subclasses__()} == set(SAMPLERS)


def codes_of(pool, row):
    return {axis.name: int(code) for axis, code in zip(pool.axes, pool.codes[row], strict=True)}


def told(sampler):
    """What Optuna's sampler was told: state, codes and values of every trial."""
    return [(trial.state.name, trial.params, trial.values) for trial in sampler._study.trials]


def test_an_optuna_sampler_is_told_known_values_at_once():
    pool = replayed_pool(SMALL + "constraints: {parameter_inverted: yes}\n")
    losses, taken, rows = losses_of(pool), np.zeros(len(pool), dtype=bool), [0, 5, 9]
    taken[rows] = True
    choices = [range(len(axis.choices)) for axis in pool.axes]
    impossible = next(list(codes) for codes in product(*choices) if pool.find(list(codes)) is None)
    sampler = make("tpe", pool, record())
    sampler._study.enqueue_trial(codes_of(pool, 5))
    sampler._study.enqueue_trial({axis.name: code for axis, code in zip(pool.axes, impossible, strict=True)})
    sampler._study.enqueue_trial(codes_of(pool, 7))
    assert sampler.propose(observe(losses, rows, taken)) == 7
    found = told(sampler)
    assert [state for state, _, _ in found] == ["COMPLETE", "FAIL", "RUNNING", *["COMPLETE"] * 3]
    assert found[0][1:] == (codes_of(pool, 5), losses[5].tolist())
    assert [(codes, values) for _, codes, values in found[3:]] == [
        (codes_of(pool, row), losses[row].tolist()) for row in rows
    ]


def test_an_optuna_sampler_is_told_how_its_proposals_came_out():
    pool = replayed_pool(SMALL)
    losses, taken = losses_of(pool), np.zeros(len(pool), dtype=bool)
    sampler = make("tpe", pool, record())
    for row in (3, 8, 11):
        sampler._study.enqueue_trial(codes_of(pool, row))
    taken[3] = taken[8] = True
    assert sampler.propose(observe(losses, [], np.zeros(len(pool), dtype=bool))) == 3
    assert sampler.propose(observe(losses, [], taken & (np.arange(len(pool)) == 3), [3])) == 8
    assert sampler.propose(observe(losses, [3], taken)) == 11  # 8 was given up
    states = {pool.find(list(codes.values())): (state, values) for state, codes, values in told(sampler)}
    assert states == {3: ("COMPLETE", losses[3].tolist()), 8: ("FAIL", None), 11: ("RUNNING", None)}


def test_the_default_trusts_noisy_scores_less():
    pool = replayed_pool(SMALL)
    losses, taken, rows = losses_of(pool), np.zeros(len(pool), dtype=bool), np.arange(0, len(pool), 2)
    known = observe(losses, rows, taken)
    exact, noisy = (
        make("gp", pool, record())._predict(replace(known, standard_error=np.full(len(rows), error)), rows)[0]
        for error in (0.0, 5.0)
    )
    scores = losses[rows, 0]
    assert np.abs(exact - scores).mean() < 0.5 * np.abs(noisy - scores).mean()


def test_exhaustive_begins_with_the_cheapest():
    pool = replayed_pool(SMALL)
    assert np.all(np.diff(pool.costs["gflops_published"][run("exhaustive", pool, len(pool))]) >= 0)


def test_the_default_finds_nearly_all_of_the_front_where_random_does_not():
    pool = replayed_pool()
    shares = {"gp": [], "random": []}
    for name, found in shares.items():
        for seed in range(3):
            losses = losses_of(pool, seed)
            bound = losses.max(axis=0)
            rows = run(name, pool, 100, seed)
            found.append(pareto.hypervolume(losses[rows], bound) / pareto.hypervolume(losses, bound))
    assert np.mean(shares["gp"]) >= 0.97
    assert np.mean(shares["gp"]) > np.mean(shares["random"]) + 0.03


def test_expected_growth_agrees_with_sampling():
    rng = np.random.default_rng(0)
    points = np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 1.0], [3.0, 6.0]])
    cost, mean, deviation = np.array([0.5, 2.5, 4.5]), np.array([4.0, 2.0, 2.0]), np.array([1.0, 0.5, 2.0])
    bound = 5.0
    found = expected_growth(points, cost, mean, deviation, bound)
    before = pareto.hypervolume(points, (bound, 6.0))
    for i in range(3):
        draws = rng.normal(mean[i], deviation[i], 4000)
        grown = [pareto.hypervolume(np.vstack((points, [[cost[i], y]])), (bound, 6.0)) - before for y in draws]
        assert found[i] == pytest.approx(np.mean(grown), rel=0.08)


def test_the_process_interpolates_and_is_unsure_far_away():
    x = np.linspace(0, 1, 12)[:, None]
    y = np.sin(5 * x[:, 0])
    process = GaussianProcess(np.array([0]))
    process.fit(x, y, np.zeros(12))
    mean, deviation = process.predict(np.array([[0.5], [3.0]]))
    assert mean[0] == pytest.approx(np.sin(2.5), abs=0.05)
    assert deviation[1] > 5 * deviation[0]


def test_noise_is_not_interpolated():
    x = np.repeat([0.0, 1.0], 6)[:, None]
    y = np.array([0.0, 1.0] * 3 + [3.0, 4.0] * 3)
    process = GaussianProcess(np.array([0]))
    process.fit(x, y, np.full(12, 0.5))
    mean, _ = process.predict(np.array([[0.0], [1.0]]))
    assert mean == pytest.approx([0.5, 3.5], abs=0.3)


def test_the_gradient_of_the_posterior_is_right():
    rng = np.random.default_rng(0)
    x, z, extra = rng.uniform(size=(9, 2)), rng.normal(size=9), rng.uniform(size=9) * 0.1
    squares = np.stack([(x[:, i, None] - x[None, :, i]) ** 2 for i in range(2)])
    theta = np.array([-0.3, 0.4, 0.2, -3.0])
    _, gradient = _posterior(theta, squares, z, extra)
    for i in range(4):
        step = np.eye(4)[i] * 1e-5
        up, down = (_posterior(theta + sign * step, squares, z, extra)[0] for sign in (1, -1))
        assert gradient[i] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("asked", "trials", "objectives", "expected"),
    [
        (None, 100, ("score", "gflops"), "gp"),
        ("auto", 100, ("score", "params"), "gp"),
        (None, 3000, ("score", "gflops"), "exhaustive"),
        (None, 2500, ("score", "gflops"), "nsga2"),
        (None, 100, ("score", "latency"), "tpe"),
        (None, 100, ("score", "gflops", "params"), "tpe"),
        ("nsga3", 100, ("score", "gflops"), "nsga3"),
    ],
)
def test_the_default_follows_space_budget_and_objectives(asked, trials, objectives, expected):
    choice = choose(asked, replayed_pool(), trials, record(objectives=objectives))
    assert choice.name == expected
    assert choice.reason


def test_an_unknown_sampler_lists_the_known():
    with pytest.raises(InputError, match="unknown sampler 'best': expected one of auto, exhaustive, random, gp"):
        choose("best", replayed_pool(), 10, record())
    with pytest.raises(InputError, match=r"unknown sampler 'rando': did you mean 'random'\?"):
        choose("rando", replayed_pool(), 10, record())

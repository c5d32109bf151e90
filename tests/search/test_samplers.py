"""One contract for every sampler; then what the Gaussian process is for."""

import numpy as np
import pytest

from piip_explore.errors import InputError
from piip_explore.search import pareto
from piip_explore.search.landscape import synthetic_scores
from piip_explore.search.record import Record
from piip_explore.search.samplers import SAMPLERS, Observations, choose, make
from piip_explore.search.samplers.gaussian import expected_growth
from piip_explore.search.samplers.process import GaussianProcess, _posterior
from tests.search.replayed import replayed_pool

SMALL = """
name: small
branches:
  - {models: [vit_tiny, vit_small], resolutions: [448, 672]}
  - {models: [vit_small, vit_base], resolutions: [224, 448]}
interactions: [3, 6]
"""


def record(**more) -> Record:
    return Record(space={}, choices={}, evaluator={}, **more)


def losses_of(pool, seed=0):
    return np.stack([-synthetic_scores(pool, seed), pool.costs["gflops_published"]], axis=1)


def observe(pool, losses, rows, taken, pending=()):
    rows = np.array(rows, dtype=np.int64)
    return Observations(rows, losses[rows], np.zeros(len(rows)), taken, np.array(pending, dtype=np.int64))


def run(name, pool, count, seed=0, delay=0):
    """Propose `count` rows; each becomes known `delay` proposals later."""
    losses, sampler = losses_of(pool, seed), make(name, pool, record(seed=seed))
    taken, order = np.zeros(len(pool), dtype=bool), []
    for _ in range(count):
        known = order[: max(0, len(order) - delay)]
        row = sampler.propose(observe(pool, losses, known, taken, order[len(known) :]))
        if row is None:
            break
        assert not taken[row]
        taken[row] = True
        order.append(row)
    return order


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_design_is_proposed_exactly_once_and_then_none(name):
    pool = replayed_pool(SMALL)
    order = run(name, pool, len(pool) + 5)
    assert sorted(order) == list(range(len(pool)))


@pytest.mark.parametrize("name", SAMPLERS)
def test_proposals_repeat_with_the_seed(name):
    pool = replayed_pool()
    first = run(name, pool, 25, seed=3)
    assert first == run(name, pool, 25, seed=3)
    if name != "exhaustive":
        assert first != run(name, pool, 25, seed=4)


@pytest.mark.parametrize("name", SAMPLERS)
def test_workers_may_be_ahead_of_results(name):
    assert len(set(run(name, replayed_pool(), 30, delay=7))) == 30


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_goes_on_from_what_others_found(name):
    pool = replayed_pool()
    losses, taken = losses_of(pool), np.zeros(len(pool), dtype=bool)
    rows = np.random.default_rng(0).choice(len(pool), 40, replace=False)
    taken[rows] = True
    assert not taken[make(name, pool, record()).propose(observe(pool, losses, rows, taken))]


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
    with pytest.raises(InputError, match="unknown sampler 'best': expected auto, exhaustive, random, gp"):
        choose("best", replayed_pool(), 10, record())

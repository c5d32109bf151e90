import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from piip_explore.search import pareto

POINTS = np.array([[1.0, 5.0], [2.0, 3.0], [2.0, 4.0], [4.0, 1.0], [5.0, 5.0], [np.nan, 0.0]])


def grids(columns: int) -> st.SearchStrategy[np.ndarray]:
    return st.integers(1, 12).flatmap(lambda n: arrays(np.float64, (n, columns), elements=st.integers(0, 5)))


def brute_front(points: np.ndarray) -> set[tuple[float, ...]]:
    return {tuple(p) for p in points if not any((q <= p).all() and (q < p).any() for q in points)}


def brute_volume(points: np.ndarray, bound: int) -> int:
    cells = np.stack(np.meshgrid(*[np.arange(bound)] * points.shape[1], indexing="ij"), -1).reshape(-1, points.shape[1])
    return sum(any((p <= cell).all() for p in points) for cell in cells)


def test_front_of_a_hand_made_set():
    assert pareto.front(POINTS).tolist() == [True, True, False, True, False, False]


def test_ranks_of_a_hand_made_set():
    assert pareto.ranks(POINTS).tolist() == [0, 0, 1, 0, 2, -1]


def test_of_equal_points_the_first_is_kept():
    assert pareto.front(np.array([[1.0, 1.0], [1.0, 1.0]])).tolist() == [True, False]
    assert pareto.front(np.ones((3, 3))).tolist() == [True, False, False]


def test_an_empty_set_has_an_empty_front():
    empty = np.empty((0, 2))
    assert pareto.front(empty).tolist() == []
    assert pareto.hypervolume(empty, (1, 1)) == 0
    assert pareto.knee(empty) is None
    assert pareto.best_subset(empty, 3).tolist() == []


def test_hypervolume_of_a_hand_made_set():
    # Boxes to (6, 6): from (1,5) 5x1, from (2,3) adds 4x2, from (4,1) adds 2x2.
    assert pareto.hypervolume(POINTS, (6, 6)) == 5 + 8 + 4


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 4).flatmap(grids))
def test_front_and_volume_agree_with_brute_force(points):
    mask = pareto.front(points)
    assert {tuple(p) for p in points[mask]} == brute_front(points)
    assert len(points[mask]) == len(brute_front(points))
    assert pareto.hypervolume(points, [6] * points.shape[1]) == pytest.approx(brute_volume(points, 6))


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 3).flatmap(grids))
def test_history_ends_at_the_volume_and_never_falls(points):
    history = pareto.hypervolume_history(points, [5] * points.shape[1])
    volumes = [pareto.hypervolume(points[: i + 1], [5] * points.shape[1]) for i in range(len(points))]
    assert history == pytest.approx(np.array(volumes))


def test_knee_is_the_point_with_the_best_trade():
    points = np.array([[0.0, 10.0], [1.0, 1.0], [10.0, 0.0], [11.0, 11.0]])
    assert pareto.knee(points) == 1


def test_crowding_is_infinite_at_the_ends():
    distance = pareto.crowding(np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]]))
    assert distance[[0, 3]].tolist() == [np.inf, np.inf]
    assert distance[1] == pytest.approx(3 / 4 + 3 / 4)


def test_a_point_within_the_noise_of_its_dominators_is_tied():
    losses = np.array([[-0.80, 10.0], [-0.79, 12.0], [-0.70, 12.0]])
    assert pareto.tied(losses, np.array([0.01, 0.01, 0.01])).tolist() == [False, True, False]
    assert pareto.tied(losses, np.array([0.0, 0.0, np.nan])).tolist() == [False, False, False]


def test_the_noise_of_a_difference_is_that_of_both_its_ends():
    losses = np.array([[-0.80, 10.0], [-0.7501, 12.0], [-0.7499, 12.0]])
    assert pareto.tied(losses, np.array([0.03, 0.04, 0.04])).tolist() == [False, True, False], "0.05 of both"
    assert pareto.tied(losses, np.array([0.0, 0.04, 0.05])).tolist() == [False, False, False]


def test_to_losses_flips_what_is_maximised():
    assert pareto.to_losses([[1, 2]], ["maximize", "minimize"]).tolist() == [[-1, 2]]


def test_best_subset_takes_whole_fronts_first_and_then_spreads():
    line = np.array([[x, 10.0 - x] for x in range(11)])
    worse = line + 0.5
    chosen = pareto.best_subset(np.vstack((worse, line)), 13)
    assert set(chosen[:11]) == set(range(11, 22))
    assert len(set(chosen.tolist())) == 13
    few = pareto.best_subset(line, 3)
    assert np.ptp(line[few, 0]) >= 6


@pytest.mark.parametrize("objectives", [2, 3])
def test_the_spread_adds_most_hypervolume_at_every_step(objectives):
    points = np.random.default_rng(0).random((40, objectives))
    points = 1 - points / np.linalg.norm(points, axis=1, keepdims=True)  # all on the front
    scaled, bound = (points - points.min(axis=0)) / np.ptp(points, axis=0), np.full(objectives, 1.1)
    expected: list[int] = []
    for _ in range(12):
        volumes = [pareto.hypervolume(scaled[[*expected, i]], bound) for i in range(len(points))]
        expected.append(int(np.argmax(volumes)))
    assert pareto.best_subset(points, 12).tolist() == expected

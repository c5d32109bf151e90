"""Pareto fronts and hypervolumes of points that are to be minimised in every column.

All functions take `losses`, float arrays of shape (points, objectives): `to_losses` turns a study's values into them.
A row with a NaN is never on a front.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


def to_losses(values: npt.ArrayLike, directions: Sequence[str]) -> Floats:
    """Return `values` (points, objectives) with the sign of every `maximize` column flipped."""
    signs = np.array([-1.0 if direction == "maximize" else 1.0 for direction in directions])
    losses: Floats = np.asarray(values, dtype=np.float64).reshape(-1, len(signs)) * signs
    return losses


def front(losses: Floats) -> Bools:
    """Return the mask of the non-dominated points; of equal points the first is kept."""
    mask = np.zeros(len(losses), dtype=bool)
    valid = np.flatnonzero(~np.isnan(losses).any(axis=1))
    # Sorted by every objective in turn (ties by row number), no later point can dominate an earlier one.
    order = valid[np.lexsort((valid, *losses[valid].T[::-1]))]
    if losses.shape[1] == 2:
        second = losses[order, 1]
        best = np.minimum.accumulate(second)
        mask[order[np.concatenate(([True], second[1:] < best[:-1]))[: len(order)]]] = True
        return mask
    kept = np.empty((0, losses.shape[1]))
    for row in order:
        if not (kept <= losses[row]).all(axis=1).any():
            mask[row] = True
            kept = np.vstack((kept, losses[row]))
    return mask


def ranks(losses: Floats) -> Ints:
    """Return every point's non-domination rank: 0 for the front, 1 for the front without it, ...; -1 with a NaN."""
    rank = np.full(len(losses), -1, dtype=np.int64)
    left = np.flatnonzero(~np.isnan(losses).any(axis=1))
    level = 0
    while len(left):
        on_front = front(losses[left])
        rank[left[on_front]] = level
        left = left[~on_front]
        level += 1
    return rank


def crowding(losses: Floats) -> Floats:
    """Return the crowding distance of every point among all given ones; infinite at the ends (NSGA-II)."""
    distance = np.zeros(len(losses))
    for column in losses.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]] if len(order) else 0.0
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
        if len(order):
            distance[order[[0, -1]]] = np.inf
    return distance


def knee(losses: Floats) -> int | None:
    """Return the row of the front that lies farthest below the plane through the front's ends, None if there is none.

    With every objective scaled to [0, 1] over the front, that is the point with the smallest sum.
    """
    rows = np.flatnonzero(front(losses))
    if not len(rows):
        return None
    points = losses[rows]
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    return int(rows[np.argmin(scaled.sum(axis=1))])


def tied(losses: Floats, standard_error: Floats, objective: int = 0) -> Bools:
    """Return the mask of points off the front that no point beats by more than noise.

    A point stays if every front point that dominates it is better in `objective` by no more than the standard error
    of the difference, sqrt(se_a^2 + se_b^2). An unknown standard error counts as zero.
    """
    error = np.nan_to_num(standard_error)
    on_front = front(losses)
    members = losses[on_front]
    mask = np.zeros(len(losses), dtype=bool)
    rows = np.flatnonzero(~on_front & ~np.isnan(losses).any(axis=1) & (error > 0))
    for part in np.array_split(rows, len(rows) // 10_000 + 1):  # a block of (rows, front) at a time
        dominated = (members[None] <= losses[part, None]).all(axis=2)
        lead = losses[part, objective, None] - members[None, :, objective]
        beaten = dominated & (lead > np.hypot(error[part, None], error[None, on_front]))
        mask[part] = ~beaten.any(axis=1)
    return mask


def hypervolume(losses: Floats, reference: Sequence[float] | Floats) -> float:
    """Return the volume that the points dominate within `reference` (one bound per objective, exclusive)."""
    bound = np.asarray(reference, dtype=np.float64)
    inside = losses[(losses < bound).all(axis=1)]
    return _volume(inside[front(inside)], bound)


def _volume(points: Floats, bound: Floats) -> float:
    if not len(points):
        return 0.0
    if len(bound) == 1:
        return float(bound[0] - points.min())
    points = points[np.argsort(points[:, 0])]
    if len(bound) == 2:
        heights = np.minimum.accumulate(points[:, 1])
        widths = np.diff(points[:, 0], append=bound[0])
        return float(((bound[1] - heights) * widths).sum())
    # Slices along the first objective: in each, the points that begin before it dominate a volume one dimension lower.
    widths = np.diff(points[:, 0], append=bound[0])
    total = 0.0
    for count, width in enumerate(widths, start=1):
        if width > 0:
            slab = points[:count, 1:]
            total += float(width) * _volume(slab[front(slab)], bound[1:])
    return total


def hypervolume_history(losses: Floats, reference: Sequence[float] | Floats) -> Floats:
    """Return the hypervolume after each point, (points,), in the order given."""
    bound = np.asarray(reference, dtype=np.float64)
    history = np.zeros(len(losses))
    front = np.empty((0, losses.shape[1]))
    rows = np.flatnonzero((losses < bound).all(axis=1))
    for part in np.array_split(rows, len(rows) // 500 + 1):  # most are dominated by the front before their block
        for row in part[~covered(losses[part], front)]:
            point = losses[row]
            if not (front <= point).all(axis=1).any():
                front = np.vstack((front[~(point <= front).all(axis=1)], point))
                history[row] = _volume(front, bound)
    return np.maximum.accumulate(history)


def covered(points: Floats, front: Floats) -> Bools:
    """Return the mask of the points that a front dominates or equals."""
    return np.asarray(np.any((front[None] <= points[:, None]).all(axis=2), axis=1), dtype=np.bool_)


def best_subset(losses: Floats, count: int) -> Ints:
    """Return the rows of `count` points to keep, best first: by non-domination rank, then by spread.

    Whole fronts are taken while they fit; from the last one the points that add most hypervolume are taken one by one.
    """
    rank = ranks(losses)
    chosen: list[int] = []
    for level in range(int(rank.max(initial=-1)) + 1):
        rows = np.flatnonzero(rank == level)
        room = count - len(chosen)
        if room <= 0:
            break
        chosen += _spread(losses[rows], room, rows)
    return np.array(chosen, dtype=np.int64)


def _spread(points: Floats, room: int, rows: Ints) -> list[int]:
    """Return `room` of `rows`, each time the one whose point adds most hypervolume to those before it.

    What a point adds only falls as others are picked. So a point whose gain is up to date, and at least what
    the others once added, is the best: few gains are computed anew (lazy greedy).
    """
    low, high = points.min(axis=0), points.max(axis=0)
    scaled = (points - low) / np.where(high > low, high - low, 1.0)
    bound = np.full(points.shape[1], 1.1)
    picked: list[int] = []
    volume = 0.0
    heap = [(-gain, i, 0) for i, gain in enumerate(np.prod(bound - scaled, axis=1).tolist())]
    heapify(heap)
    while heap and len(picked) < room:
        gain, i, known_at = heappop(heap)
        if known_at == len(picked):
            picked.append(i)
            volume -= gain
        else:
            gain = volume - hypervolume(scaled[[*picked, i]], bound)
            heappush(heap, (gain, i, len(picked)))
    return [int(rows[i]) for i in picked]

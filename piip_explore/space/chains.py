"""All tuples of branches of a group, grown branch by branch as NumPy columns.

A tuple is grown along a layered graph. A node of layer k is a branch code at place k together with the state of the
slots: the sets of slots that the branches so far may have filled. An edge is a next branch that the constraints and
the free slots permit. So the paths through the graph are the designs, each once, in lexicographic order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from piip_explore.space.tables import Group, Tables

_State = frozenset[int]  # the sets of slots that may be filled, each a bit mask


@dataclass(frozen=True)
class _Layer:
    """Nodes sorted by code, and the edges `(nodes of the layer before, nodes)` that lead to them."""

    codes: npt.NDArray[np.integer]
    edges: npt.NDArray[np.bool_]


def count_chains(tables: Tables, group: Group) -> int:
    """Return how many tuples of branches the group has, without making them (exact below 2^53)."""
    first, *layers = _layers(tables, group)
    # How far a tuple reaches depends on its first branch alone: count by that reach.
    reaches, which = np.unique(tables.reach[first.codes], return_inverse=True)
    paths = (which == np.arange(len(reaches))[:, None]).astype(np.float64)
    for layer in layers:
        paths = (paths @ layer.edges) * (layer.codes < reaches[:, None])
    return int(paths.sum())


def list_chains(tables: Tables, group: Group) -> npt.NDArray[np.signedinteger]:
    """Return the tuples of branch codes, `(tuples, branches)`, column-major, in lexicographic order."""
    first, *layers = _layers(tables, group)
    nodes = np.arange(len(first.codes), dtype=np.int32)
    columns = [first.codes]
    for layer in layers:
        # Successors rise in code, so those within reach of the first branch are the first few of them.
        below = np.zeros((len(layer.edges), len(layer.codes) + 1), np.int32)
        np.cumsum(layer.edges, axis=1, out=below[:, 1:])
        counts = below[nodes, np.searchsorted(layer.codes, tables.reach)[columns[0]]]
        ends = np.cumsum(counts, dtype=np.int64)
        index = np.int32 if counts.sum(dtype=np.int64) < 2**31 else np.int64
        starts = np.cumsum(below[:, -1]) - below[:, -1]
        steps = np.repeat((starts[nodes] - (ends - counts)).astype(index), counts)
        steps += np.arange(len(steps), dtype=index)
        nodes = np.nonzero(layer.edges)[1].astype(np.int32)[steps]
        del steps
        columns = [np.repeat(column, counts) for column in columns] + [layer.codes[nodes]]
    chains = np.empty((len(columns[0]), len(columns)), columns[0].dtype, order="F")
    for place, column in enumerate(columns):
        chains[:, place] = column
    return chains


def assign(tables: Tables, codes: tuple[int, ...]) -> tuple[int, ...] | None:
    """Return a different slot for every branch of a tuple, None if they do not all fit."""

    def fill(place: int, free: tuple[int, ...]) -> tuple[int, ...] | None:
        if place == len(codes):
            return ()
        for slot in (place,) if tables.ordered else free:
            if tables.accepts[slot, codes[place]]:
                rest = fill(place + 1, tuple(other for other in free if other != slot))
                if rest is not None:
                    return (slot, *rest)
        return None

    return fill(0, tuple(range(len(codes))))


def _layers(tables: Tables, group: Group) -> list[_Layer]:
    size = len(tables.branches)
    dtype = np.min_scalar_type(-size)
    # Branches that the same slots accept lead to the same state.
    slots = tables.accepts[: group.branches]
    kinds, kind_of = np.unique(slots, axis=1, return_inverse=True)
    states: list[_State] = [frozenset({0})]
    codes, state_of = np.full(1, -1), np.zeros(1, np.intp)
    layers: list[_Layer] = []
    for place in range(group.branches):
        number: dict[_State, int] = {}
        step = np.full((len(states), kinds.shape[1]), -1)
        for row, state in enumerate(states):
            for kind, accepted in enumerate(kinds.T):
                after = _fill(state, accepted, place if tables.ordered else None)
                if after:
                    step[row, kind] = number.setdefault(after, len(number))
        reached = step[:, kind_of]  # (states, options): the state after that option
        follows = np.ones((1, size), np.bool_) if place == 0 else tables.follows[codes]
        target = np.where(follows & group.allowed[place], reached[state_of], -1)  # (nodes, options)
        exists = np.zeros((size, len(number) + 1), np.bool_)
        exists[np.nonzero(target >= 0)[1], target[target >= 0]] = True
        codes, state_of = np.nonzero(exists)
        layers.append(_Layer(codes.astype(dtype), target[:, codes] == state_of))
        states = list(number)
    return _without_dead_ends(layers)


def _without_dead_ends(layers: list[_Layer]) -> list[_Layer]:
    for place in range(len(layers) - 1, 0, -1):
        alive = layers[place].edges.any(axis=1)
        before = layers[place - 1]
        layers[place] = _Layer(layers[place].codes, layers[place].edges[alive])
        layers[place - 1] = _Layer(before.codes[alive], before.edges[:, alive])
    return layers


def _fill(state: _State, accepted: npt.NDArray[np.bool_], slot: int | None) -> _State:
    """Return the states after one more branch, which the slots `accepted` accept; `slot`: only into this one."""
    slots = range(len(accepted)) if slot is None else (slot,)
    return frozenset(
        filled | 1 << slot for filled in state for slot in slots if accepted[slot] and not filled & 1 << slot
    )

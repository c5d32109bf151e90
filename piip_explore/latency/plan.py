"""Which parts of a space to time, and at which sizes. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from piip_explore.cost.pair_tables import PairTables
from piip_explore.latency.kinds import Kind, Sides, Unit
from piip_explore.latency.terms import terms
from piip_explore.space import SpaceColumns

SIZES = 5
"""The most sizes at which a part is timed; times in between are interpolated."""


class Point(NamedTuple):
    """A part to time: a kind at the sides of its maps."""

    kind: Kind
    sides: Sides


class _Recorder:
    """Notes which parts are asked for instead of how long they take."""

    def __init__(self) -> None:
        self.sides: dict[Kind, list[set[int]]] = {}

    def seconds(self, kind: Kind, *sides: Any) -> float:
        known = self.sides.setdefault(kind, [set() for _ in sides])
        for found, side in zip(known, sides, strict=True):
            found.update(np.unique(side).tolist())
        return 0.0


def points(columns: SpaceColumns) -> list[Point]:
    """Return the parts that the designs of `columns` consist of, each at up to `SIZES` of its sizes.

    An interaction's direction, which has two maps, is timed with both small, both large, both of middle size, and one
    of either: its time is bilinear in their tokens.
    """
    recorder = _Recorder()
    PairTables(columns, partial(terms, recorder, {}), ("seconds",), np.float64)
    found: list[Point] = []
    for kind, known in recorder.sides.items():
        if isinstance(kind, Unit):
            (q, half_q, most_q), (s, half_s, most_s) = (_spread(sorted(sides), 3) for sides in known)
            corners = dict.fromkeys([(q, s), (q, most_s), (half_q, half_s), (most_q, s), (most_q, most_s)])
            found += [Point(kind, sides) for sides in corners]
        else:
            found += [Point(kind, (side,)) for side in dict.fromkeys(_spread(sorted(known[0]), SIZES))]
    return found


def _spread(values: Sequence[int], number: int) -> list[int]:
    """Return `number` of rising values, evenly spread by their logarithms; fewer values are repeated."""
    wanted = np.geomspace(values[0], values[-1], number)
    return [int(min(values, key=lambda value: abs(np.log(value / want)))) for want in wanted]

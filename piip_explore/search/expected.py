"""What full training is expected to give a study's designs, beside their scores and never mixed with them.

The proxy cannot rank the number or kind of interactions, nor one branch against a pyramid (docs/proxy.md);
`piip_explore.predict` can. `objections` finds where the two contradict each other in that.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import unranked
from piip_explore.search.columns import Columns

Floats = npt.NDArray[np.float64]

_METRICS = {"detection": "box_ap", "segmentation": "miou", "classification": "top1"}
_UNTOLD = "-"
_SHOWN = 3


@dataclass(frozen=True)
class Beside:
    """What stands beside a front: a column, as `head` and `cells`, or none; and lines below it."""

    head: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Objection:
    """A design, `better`, that is expected to beat one of the front, `worse`, that scores no lower; rows of both.

    `question` is what the proxy cannot rank and the two differ in, `probability` how sure their order is.
    """

    better: int
    worse: int
    question: str
    probability: float


def by_proxy(record: Mapping[str, Any]) -> bool:
    """Whether a proxy gave the scores of the study with this record."""
    return "score" in record.get("objectives", ()) and record.get("evaluator", {}).get("kind") == "proxy"


def metric_of(columns: Columns | None) -> str:
    """Return the metric that full training on a study's task is judged by, as `piip_explore.predict` names it.

    Where there is no study, it is the detectors'.
    """
    return _METRICS["detection" if columns is None else columns.task]


def beside(columns: Columns, within: Mapping[str, float] | None = None, metric: str | None = None) -> Beside:
    """Return what is expected of a study's front, beside its scores.

    Nothing stands beside scores that no proxy gave, unless a `metric` is asked for; nor does a column where nothing
    published is like any design of the front.

    Raises:
        InputError: there is no such metric.
    """
    proxy = by_proxy(columns.record)
    if "design" not in columns.attributes or (metric is None and not proxy):
        return Beside((), (), ())
    from piip_explore.predict import METRICS, USUAL, none_predicted, table

    asked, metric = metric is not None, metric or metric_of(columns)
    front = columns.front(within)
    designs = [Design.parse(text) for text in _texts(columns, front)]
    cells = _cells(table(designs, metric))
    told = [one != _UNTOLD for one in cells]
    doubts = unranked.advice(columns.number[front].tolist(), designs, told) if proxy else ""
    if not any(told):
        none = none_predicted(metric) if asked else ""
        return Beside((), (), tuple(filter(None, [doubts, none])))
    meaning = (
        f"expected {METRICS[metric]}: of full training ({USUAL[metric]}), in 80 % of cases; a regression on published "
        "results, not measured"
    )
    objections = text(columns, of_front(columns, metric, within), metric) if proxy else ""
    return Beside((f"expected {METRICS[metric]}",), (cells,), tuple(filter(None, [meaning, objections, doubts])))


def _cells(found: pd.DataFrame) -> tuple[str, ...]:
    values = found[["expected", "expected_high"]].to_numpy(np.float64).tolist()
    return tuple(_UNTOLD if math.isnan(mean) else f"{mean:.1f} ± {high - mean:.1f}" for mean, high in values)


def of_front(columns: Columns, metric: str, within: Mapping[str, float] | None = None) -> list[Objection]:
    """Return the objections to the front of a study's designs within these bounds; rows are those of `columns`."""
    rows, score = columns.within(within), columns.objectives.index("score")
    losses, front = columns.losses[rows], np.searchsorted(rows, columns.front(within))
    costs = np.delete(losses, score, axis=1)
    return of_rows(objections(_texts(columns, rows), -losses[:, score], costs, front, metric), rows)


def of_choice(columns: Columns, chosen: int, within: npt.NDArray[np.int64], metric: str) -> list[Objection]:
    """Return the objection to choosing one row, for a score as good as any, from the rows within limits."""
    alike, place = np.zeros(len(within)), np.flatnonzero(within == chosen)
    return of_rows(objections(_texts(columns, within), alike, alike[:, None], place, metric), within)


def of_rows(found: Sequence[Objection], rows: npt.NDArray[np.int64]) -> list[Objection]:
    """Return objections among designs as objections among the rows that these designs are of."""
    return [replace(one, better=int(rows[one.better]), worse=int(rows[one.worse])) for one in found]


def _texts(columns: Columns, rows: npt.NDArray[np.int64]) -> list[str]:
    return [str(words) for words in columns.attributes["design"].iloc[rows]]


def objections(
    texts: Sequence[str], scores: Floats, costs: Floats, front: npt.NDArray[np.int64], metric: str
) -> list[Objection]:
    """Return where what is expected contradicts a front of score against costs, one for a design of the front at most.

    A design objects if no design of the front that costs no more is expected to be as good.

    Args:
        texts: of all designs that may be chosen; those that are not designs object to nothing.
        scores: of every design, `(designs,)`.
        costs: of every design, less is better, `(designs, costs)`.
        front: rows of the front.
        metric: what is expected, as `piip_explore.predict` names it.

    Raises:
        InputError: there is no such metric.
    """
    designs = {row: design for row in _able(texts, front) if (design := _parsed(texts[row])) is not None}
    rows = np.array(list(designs), dtype=np.int64)
    places = {row: place for place, row in enumerate(designs)}
    among = np.array([places[row] for row in front.tolist() if row in places], dtype=np.int64)
    return of_rows(_objections(list(designs.values()), scores[rows], costs[rows], among, metric), rows)


def _able(texts: Sequence[str], front: npt.NDArray[np.int64]) -> list[int]:
    """Return the rows of a front and of what may object to it: reading and predicting all of a study takes long."""
    branches = [sorted(text.partition(";")[0].split()) for text in texts]
    heads, several = {tuple(branches[row]) for row in front}, {len(branches[row]) > 1 for row in front}
    return [row for row, own in enumerate(branches) if tuple(own) in heads or several != {len(own) > 1}]


def _parsed(text: str) -> Design | None:
    try:
        return Design.parse(text)
    except InputError:
        return None


def _objections(
    designs: Sequence[Design], scores: Floats, costs: Floats, front: npt.NDArray[np.int64], metric: str
) -> list[Objection]:
    from piip_explore.predict import table

    if not len(front):
        return []
    mean = np.nan_to_num(table(designs, metric)["expected"].to_numpy(np.float64), nan=-np.inf)
    affordable = (costs[front] <= costs[:, None]).all(axis=2) & (front != np.arange(len(designs))[:, None])
    able = mean > np.where(affordable, mean[front], -np.inf).max(axis=1, initial=-np.inf)
    single = np.array([len(design.branches) == 1 for design in designs])
    kinds = np.array([f"{sorted(map(str, design.branches))} {design.merge}" for design in designs])
    found = []
    for worse in front[np.isfinite(mean[front])].tolist():
        differs = (single != single[worse]) | (kinds == kinds[worse])  # but for this, a loop over all would take long
        rows = np.flatnonzero(able & differs & (mean > mean[worse]) & (scores <= scores[worse]))
        if len(rows):
            found.append(_objection(designs, int(rows[np.argmax(mean[rows])]), worse, metric))
    return [objection for objection in found if objection is not None]


def _objection(designs: Sequence[Design], better: int, worse: int, metric: str) -> Objection | None:
    from piip_explore.predict import compare

    question = unranked.question(designs[better], designs[worse])
    if question is None:
        return None
    order = compare(designs[better], designs[worse], metric)
    return Objection(better, worse, question, order.probability) if order.order == "first" else None


def text(columns: Columns, objections: Sequence[Objection], metric: str) -> str:
    """Return one line on the objections, with a command that says more of the surest; empty if there are none."""
    from piip_explore.predict import METRICS

    if not objections:
        return ""
    surest = max(objections, key=lambda one: one.probability)
    designs = columns.attributes["design"]
    asked = " ".join(shlex.quote(str(designs.iloc[row])) for row in (surest.better, surest.worse))
    option = "" if metric == "box_ap" else f" --metric {metric}"
    return (
        f"Expected {METRICS[metric]} contradicts the score: {orders(columns, objections)}. "
        f"Ask: piip-explore predict {asked}{option}"
    )


def orders(columns: Columns, objections: Sequence[Objection]) -> str:
    """Return the first few objections as words, the surest first."""
    named = [
        f"trial {columns.number[one.better]} above {columns.number[one.worse]} "
        f"({one.question}, probability {min(one.probability, 0.99):.2f})"
        for one in sorted(objections, key=lambda one: -one.probability)
    ]
    return ", ".join(named[:_SHOWN]) + (f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else "")

"""Pairs of published designs, and the question that each pair asks of a predictor."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from piip_explore.catalog import ConvNeXt
from piip_explore.design import Design
from piip_explore.proxy.validity.rows import Rows

Question = Literal["resolution", "branch models", "CNN or ViT", "interactions", "merging"]
QUESTIONS: tuple[Question, ...] = ("resolution", "branch models", "CNN or ViT", "interactions", "merging")

_CLOSE = 0.15


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows whose published metrics compare and differ by a meaningful amount, as columns.

    `better` and `worse` are row indices, `question` what sets the two apart.
    """

    better: np.ndarray
    worse: np.ndarray
    question: np.ndarray

    def __len__(self) -> int:
        return len(self.better)

    def __getitem__(self, keep: np.ndarray) -> Pairs:
        return Pairs(self.better[keep], self.worse[keep], self.question[keep])


def pairs(rows: Rows, difference: float = 0.5, across_tables: bool = False) -> Pairs:
    """Return all pairs within a table and metric that differ by at least `difference` points and in their designs.

    With `across_tables`, those within a recipe and metric.
    """
    columns: list[tuple[int, int, str]] = []
    groups = list(zip(rows.recipe if across_tables else rows.table, rows.metric, strict=True))
    for i, j in combinations(range(len(rows)), 2):
        if groups[i] != groups[j] or rows.design[i].id == rows.design[j].id:
            continue
        if abs(rows.value[i] - rows.value[j]) < difference - 1e-9:
            continue
        better, worse = (i, j) if rows.value[i] > rows.value[j] else (j, i)
        columns.append((better, worse, question(rows.design[i], rows.design[j])))
    return Pairs(
        np.array([better for better, _, _ in columns], int),
        np.array([worse for _, worse, _ in columns], int),
        np.array([asked for _, _, asked in columns], str),
    )


def hard(pairs: Pairs, flops: np.ndarray) -> np.ndarray:
    """Return which pairs FLOPs cannot decide: within 15 % of each other, or ordered the other way round."""
    better, worse = flops[pairs.better], flops[pairs.worse]
    close = np.abs(better - worse) <= _CLOSE * np.minimum(better, worse)
    return np.asarray(close | (better < worse))


def question(a: Design, b: Design) -> Question:
    """Return the question that a pair of designs asks; if they differ in several ways, that of the largest change.

    Branches of another kind come before branches of another size or number, these before resolutions (and windows),
    these before interactions, these before merging.
    """
    if Counter(isinstance(x.spec, ConvNeXt) for x in a.branches) != Counter(
        isinstance(x.spec, ConvNeXt) for x in b.branches
    ) and (_has_cnn(a) or _has_cnn(b)):
        return "CNN or ViT"
    in_order = [[(x.model, isinstance(x.spec, ConvNeXt)) for x in d.sorted().branches] for d in (a, b)]
    if _has_cnn(a) and in_order[0] != in_order[1]:
        return "CNN or ViT"
    if in_order[0] != in_order[1]:
        return "branch models"
    if a.sorted().branches != b.sorted().branches:
        return "resolution"
    if a.interaction != b.interaction:
        return "interactions"
    return "merging"


def _has_cnn(design: Design) -> bool:
    return any(isinstance(branch.spec, ConvNeXt) for branch in design.branches)

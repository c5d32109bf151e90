"""The designs that a proxy is judged by, and the questions that pairs of them answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from piip_explore import cost, published
from piip_explore.catalog import ConvNeXt
from piip_explore.design import Design, Merge
from piip_explore.errors import InputError

Question = Literal["resolution", "branch models", "CNN or ViT", "exchanges", "merging"]
QUESTIONS: tuple[Question, ...] = ("resolution", "branch models", "CNN or ViT", "exchanges", "merging")

METRICS = ("box_ap", "miou", "top1")
TABLES = {"table-1": "arXiv 2501.07783 Table I", "table-2": "arXiv 2501.07783 Table II", "merge-ablation": None}
"""Names of the published tables that a validation may use, and their `source` in designs.csv."""

_ABLATED = "tsb-1568-1120-672"
_TOO_LARGE = "intern_vit_6b"


@dataclass(frozen=True)
class Rows:
    """Designs with published metrics, as columns.

    `name`, `table`, `design` as published, `value` (percent) and `gflops`: printed, or counted where none is printed.
    """

    name: tuple[str, ...]
    table: tuple[str, ...]
    design: tuple[Design, ...]
    value: np.ndarray
    gflops: np.ndarray

    def __len__(self) -> int:
        return len(self.name)

    def frame(self) -> pd.DataFrame:
        """Return the columns as a data frame, designs as text."""
        return pd.DataFrame(
            {
                "row": self.name,
                "table": self.table,
                "design": list(map(str, self.design)),
                "gflops": self.gflops,
                "published": self.value,
            }
        )


def published_rows(tables: Sequence[str]) -> Rows:
    """Return the rows of the named tables whose structure is not unknown, InternViT-6B left out.

    The merge ablation prints no FLOPs; its designs, which differ in the merge's layers alone (under 1 %), get those of
    the design they vary.

    Raises:
        InputError: an unknown table.
    """
    if unknown := [name for name in tables if name not in TABLES]:
        raise InputError(f"unknown table '{unknown[0]}': expected {', '.join(TABLES)}")
    frames = []
    for name in tables:
        if name == "merge-ablation":
            everything = published.load()
            base = everything.loc[everything["row"] == _ABLATED, "gflops"].to_numpy(float)[0]
            frame = published.merge_ablation().assign(table=name, structure="known", gflops=float(base))
            frame["row"] = "merge-" + frame["out_branches"].astype(str)
        else:
            frame = published.load()
            frame = frame[frame["source"] == TABLES[name]].assign(table=name)
        frames.append(frame)
    return _rows(pd.concat(frames, ignore_index=True))


def rows_of(path: Path) -> Rows:
    """Return the rows of a CSV file in the format of `published/designs.csv`; a table is one `source` and `task`.

    Raises:
        InputError: the file cannot be read or has fewer than two rows with a design and a metric.
    """
    frame = published.read(path)
    frame["table"] = frame["source"].astype(str) + ", " + frame["task"].astype(str)
    rows = _rows(frame)
    if len(rows) < 2:
        raise InputError(f"{path} has fewer than two rows with a design and one of {', '.join(METRICS)}")
    return rows


def _rows(frame: pd.DataFrame) -> Rows:
    metrics = [name for name in METRICS if name in frame.columns]
    value = frame[metrics].astype(float).bfill(axis=1).iloc[:, 0]
    keep = (frame["structure"] != "unknown") & value.notna() & ~frame["design"].str.contains(_TOO_LARGE)
    kept = frame[keep]
    designs = tuple(Design.parse(text) for text in kept["design"].astype(str))
    printed = kept["gflops"].to_numpy(float)
    counted = [cost.count(d).macs / 1e9 if np.isnan(g) else g for d, g in zip(designs, printed, strict=True)]
    return Rows(
        tuple(kept["row"].astype(str)),
        tuple(kept["table"].astype(str)),
        designs,
        value[keep].to_numpy(float),
        np.array(counted, float),
    )


def as_trained(design: Design, dense: bool) -> Design:
    """Return the design that was trained behind a published row.

    For detection the papers count a linear merge and train the convolutional one (with its pyramid).
    """
    if dense and design.merge.kind == "linear":
        return replace(design, merge=Merge("conv", design.merge.out))
    return design


@dataclass(frozen=True)
class Pairs:
    """Pairs of rows of one table whose published metrics differ enough to mean something, as columns.

    `better` and `worse` are row indices, `question` what sets the two apart.
    """

    better: np.ndarray
    worse: np.ndarray
    question: np.ndarray

    def __len__(self) -> int:
        return len(self.better)

    def __getitem__(self, keep: np.ndarray) -> Pairs:
        return Pairs(self.better[keep], self.worse[keep], self.question[keep])


def pairs(rows: Rows, difference: float = 0.5) -> Pairs:
    """Return all pairs within a table that differ by at least `difference` points and are different designs."""
    columns: list[tuple[int, int, str]] = []
    for i, j in combinations(range(len(rows)), 2):
        if rows.table[i] != rows.table[j] or rows.design[i].id == rows.design[j].id:
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


def question(a: Design, b: Design) -> Question:
    """Return what a pair of designs asks; where they differ in several ways, the one that changes most.

    Branches of another kind come before branches of another size or number, these before resolutions (and windows),
    these before exchanges, these before merging.
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
        return "exchanges"
    return "merging"


def _has_cnn(design: Design) -> bool:
    return any(isinstance(branch.spec, ConvNeXt) for branch in design.branches)

"""The designs that a proxy is judged by, with their published metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from piip_explore import cost, published
from piip_explore.design import Design
from piip_explore.errors import InputError, expected

METRICS = ("box_ap", "miou", "top1")
"""The metrics that a row may be judged by; of several, the first that it has."""

_ABLATED = "tsb-1568-1120-672"
_TOO_LARGE = "intern_vit_6b"


def _from(source: str, frame: Callable[[], pd.DataFrame]) -> pd.DataFrame:
    rows = frame()
    return rows[rows["source"] == source]


def _merge_ablation() -> pd.DataFrame:
    """Return the merge ablation, which prints no FLOPs, with those of the design that it varies.

    Its designs differ in the merge's layers alone, which is less than 1 %.
    """
    everything = published.load()
    base = everything.loc[everything["row"] == _ABLATED, "gflops"].to_numpy(float)[0]
    same = {"structure": "known", "task": "coco-detection", "head": "Mask R-CNN 1x"}
    frame = published.merge_ablation().assign(**same, gflops=float(base))
    frame["row"] = "merge-" + frame["out_branches"].astype(str)
    return frame


_ABLATION = "arXiv 2501.07783, ablation of the "
TABLES: dict[str, Callable[[], pd.DataFrame]] = {
    "table-1": lambda: _from("arXiv 2501.07783 Table I", published.load),
    "table-2": lambda: _from("arXiv 2501.07783 Table II", published.load),
    "merge-ablation": _merge_ablation,
    "pyramid-ablation": lambda: _from(f"{_ABLATION}pyramid (base size)", published.ablations),
    "interaction-ablation": lambda: _from(f"{_ABLATION}number of interactions", published.ablations),
}
"""The published tables that a validation may use."""


@dataclass(frozen=True)
class Rows:
    """Designs with published metrics, as columns.

    `name`, `table`, `recipe` (task and head: metrics of one recipe compare across tables), `design` as published,
    `metric` (a name of `METRICS`), `value` (percent) and `gflops`: printed, or counted where none is printed.
    `left_out` says of every other row why it is not among them.
    """

    name: tuple[str, ...]
    table: tuple[str, ...]
    recipe: tuple[str, ...]
    design: tuple[Design, ...]
    metric: tuple[str, ...]
    value: np.ndarray
    gflops: np.ndarray
    left_out: tuple[str, ...] = field(default=(), compare=False)

    def __len__(self) -> int:
        return len(self.name)

    def frame(self) -> pd.DataFrame:
        """Return the columns as a data frame, designs as text."""
        return pd.DataFrame(
            {
                "row": self.name,
                "table": self.table,
                "recipe": self.recipe,
                "design": list(map(str, self.design)),
                "gflops": self.gflops,
                "metric": self.metric,
                "published": self.value,
            }
        )


def published_rows(tables: Sequence[str]) -> Rows:
    """Return the rows of the named tables whose structure is not unknown, InternViT-6B left out.

    Raises:
        InputError: an unknown table.
    """
    if unknown := [name for name in tables if name not in TABLES]:
        raise InputError(f"unknown table '{unknown[0]}': {expected(unknown[0], TABLES)}")
    return _rows(pd.concat([TABLES[name]().assign(table=name) for name in tables], ignore_index=True))


def rows_of(path: Path) -> Rows:
    """Return the rows of a CSV file in the format of `published/designs.csv`.

    A table is one `source` and `task`; where those have dense rows of several heads or schedules, one of each, as
    their metrics do not compare.

    Raises:
        InputError: the file cannot be read or has fewer than two rows with a design and a metric.
    """
    frame = published.read(path)
    frame["table"] = _table_names(frame, path.stem)
    rows = _rows(frame)
    if len(rows) < 2:
        raise InputError(f"{path} has fewer than two rows with a known design and one of {', '.join(METRICS)}")
    unread = [f"column '{name}': it is not read" for name in frame.attrs["unread"]]
    return replace(rows, left_out=(*unread, *rows.left_out))


def _table_names(frame: pd.DataFrame, default: str) -> list[str]:
    texts = _texts(frame[["source", "task", "head"]])
    heads = texts.groupby(["source", "task"])["head"].transform("nunique")
    dense = ~texts["task"].str.contains("classification")  # a classifier's head is a part of the design
    texts["head"] = texts["head"].where((heads > 1) & dense, "")
    return [name or default for name in _joined(texts)]


def _joined(texts: pd.DataFrame) -> list[str]:
    return [", ".join(filter(None, parts)) for parts in texts.itertuples(index=False)]


def _texts(columns: pd.DataFrame) -> pd.DataFrame:
    return columns.astype(object).fillna("").astype(str)


def _rows(frame: pd.DataFrame) -> Rows:
    metrics = [name for name in METRICS if name in frame.columns]
    values = frame[metrics].to_numpy(float)
    known = ~np.isnan(values)
    checks = {
        f"no {' or '.join(METRICS)}": ~known.any(axis=1),
        "its structure is unknown": frame["structure"].str.startswith(published.UNKNOWN).to_numpy(bool),
        f"{_TOO_LARGE} is too large to shrink": frame["design"].str.contains(_TOO_LARGE).to_numpy(bool),
    }
    left_out = {
        int(index): f"{frame['row'].iloc[index]}: {reason}"
        for reason, mask in checks.items()
        for index in np.flatnonzero(mask)
    }
    keep = np.array([index for index in range(len(frame)) if index not in left_out], int)
    kept, first = frame.iloc[keep], known[keep].argmax(axis=1)
    designs = tuple(Design.parse(text) for text in kept["design"].astype(str))
    printed = kept["gflops"].to_numpy(float)
    counted = [cost.count(d).macs / 1e9 if np.isnan(g) else g for d, g in zip(designs, printed, strict=True)]
    return Rows(
        tuple(kept["row"].astype(str)),
        tuple(kept["table"].astype(str)),
        tuple(_joined(_texts(kept[["task", "head"]]))),
        designs,
        tuple(metrics[column] for column in first),
        values[keep, first],
        np.array(counted, float),
        tuple(left_out[index] for index in sorted(left_out)),
    )


def as_trained(design: Design, dense: bool) -> Design:
    """Return the design that was trained behind a published row.

    For detection the papers count a linear merge and train the convolutional one (with its pyramid).
    """
    if dense and design.merge.kind == "linear":
        return replace(design, merge=replace(design.merge, kind="conv"))
    return design

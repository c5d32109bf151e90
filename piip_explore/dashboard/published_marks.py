"""Published designs as marks beside a study, by their FLOPs alone: a proxy score is not a published metric."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd

from piip_explore import cost, published
from piip_explore.dashboard import text
from piip_explore.dashboard.figures import palette
from piip_explore.dashboard.figures.contents import Strip
from piip_explore.design import Design


def published_strips(accounting: str, low: float, high: float) -> list[Strip]:
    """Return published pyramids and single-branch baselines with `low` to `high` GFLOPs, if there are any."""
    rows = published_designs(accounting)
    rows = rows[(rows["cost"] >= low) & (rows["cost"] <= high)]
    strips = []
    for name, mask, color in (
        ("published", rows["branches"] > 1, palette.GREEN),
        ("single branch", rows["branches"] == 1, palette.PURPLE),
    ):
        some = rows[mask]
        if len(some):
            strips.append(Strip(name, np.array(some["cost"], dtype=np.float64), list(some["card"]), None, color))
    return strips


@cache
def published_designs(accounting: str) -> pd.DataFrame:
    """Return the published designs with known structure: `cost` (GFLOPs) and `card`; different rows of one design once.

    Under `published` the cost is the printed one; under `built` it is counted.
    """
    rows = published.load()
    rows = rows[rows["gflops"].notna() & (rows["structure"] == "known")].drop_duplicates("design")
    if accounting == "published":
        costs = list(rows["gflops"])
    else:
        costs = [cost.count(Design.parse(str(design)), accounting).macs / 1e9 for design in rows["design"]]
    found = [f"<br>published {', '.join(metrics_of(row))}" for _, row in rows.iterrows()]
    return rows.assign(cost=costs, card=np.char.add(text.cards(rows["row"], rows["design"]), found))


def metrics_of(row: pd.Series) -> list[str]:
    """Return the metrics that a published row reports, as texts."""
    return [f"{label} {row[name]:g}" for name, label in published.METRICS.items() if pd.notna(row[name])]

"""Loaders of the published results, as data frames with the designs in their text form."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from piip_explore.design import Design, Merge
from piip_explore.published.reading import cells, numbers, read

_HERE = Path(__file__).parent


def load() -> pd.DataFrame:
    """Return every published design: see `read` for the columns.

    `structure` is `known` where the row's design is certain (its printed FLOPs are reproduced), and otherwise says
    what is not known; such a row's `design` is the nearest that the papers' words allow.
    """
    return read(_HERE / "designs.csv")


def ablations() -> pd.DataFrame:
    """Return the ablations of the pyramid and of the number of interactions: see `read` for the columns.

    Some of their designs are in `load` too, under other names.
    """
    return read(_HERE / "ablations.csv")


def llava() -> pd.DataFrame:
    """Return the PIIP-LLaVA encoders and their multimodal benchmarks.

    Columns: `row`, `design`, `llm`, `gflops` (of the encoder without projectors), `mmbench_en`, `textvqa` and
    `average`, the mean of nine benchmarks as published. The baseline, CLIP-L at its own patch of 14 pixels, is written
    as a free ViT of its sizes.
    """
    records = []
    for row in cells(_HERE / "llava.csv"):
        text = row["branches"]
        if row["interactions"] != "0":
            text += f"; interactions={row['interactions']}; merge=none"
        records.append(numbers(row) | {"design": str(Design.parse(text))})
    order = ["row", "design", "llm", "gflops", "mmbench_en", "textvqa", "average"]
    return pd.DataFrame.from_records(records).reindex(columns=order)


def merge_ablation() -> pd.DataFrame:
    """Return the ablation of which branches feed the merged map: `out_branches`, `design`, `box_ap`, `mask_ap`."""
    designs = load().set_index("row")["design"]
    base = Design.parse(str(designs["tsb-1568-1120-672"]))
    records = []
    for row in cells(_HERE / "merge_ablation.csv"):
        out = tuple(sorted("TSB".index(letter) + 1 for letter in row["out_branches"].split("+")))
        design = Design(base.branches, base.interaction, Merge(base.merge.kind, out))
        records.append(numbers(row) | {"design": str(design)})
    return pd.DataFrame.from_records(records).reindex(columns=["out_branches", "design", "box_ap", "mask_ap"])


def other_detectors() -> pd.DataFrame:
    """Return PIIP and its peers on COCO where no FLOPs are published: `schedule`, `method`, `box_ap`, `mask_ap`."""
    return pd.DataFrame.from_records([numbers(row) for row in cells(_HERE / "other_detectors.csv")])


def scratch_breakdown() -> pd.DataFrame:
    """Return the from-scratch PIIP-B by module.

    Columns: `module`, `layers`, `dim`, `heads`, `resolution`, `mparams`, `gflops`.
    """
    return pd.DataFrame.from_records([numbers(row) for row in cells(_HERE / "scratch_breakdown.csv")])

"""Loaders of the published results, as data frames with the designs in their text form."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pandas as pd

from piip_explore.design import Design, Merge
from piip_explore.errors import InputError

_HERE = Path(__file__).parent
_NO_PROJECT = "no interaction projection or norm"
_TEXTS = ("row", "source", "task", "head", "design", "branches", "attention", "merge", "pretrain", "structure")
_NUMBERS = ("gflops", "mparams", "box_ap", "mask_ap", "miou", "top1")
_NEEDED = ("row", "branches", "interactions", "attention", "deform_heads", "merge", "structure")


def load() -> pd.DataFrame:
    """Return every published design: see `read` for the columns.

    `structure` is `known` where the row's design is certain (its printed FLOPs are reproduced), and otherwise says
    what is not known; such a row's `design` is the nearest that the papers' words allow.
    """
    return read(_HERE / "designs.csv")


def read(path: str | Path) -> pd.DataFrame:
    """Return results from a CSV file in the format of `designs.csv`.

    Columns: `row` (a short name), `source`, `task`, `head`, `design` (canonical text), `branches` (how many),
    `pretrain`, `structure`, and the numbers `gflops`, `mparams`, `box_ap`, `mask_ap`, `miou`, `top1` (NaN where none
    is given). GFLOPs are 10^9 multiply-accumulates.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row names an impossible design or what is no number;
            the sentence says which.
    """
    rows = _rows(Path(path))
    if missing := [name for name in _NEEDED if rows and name not in rows[0]]:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    records = []
    for row in rows:
        try:
            design = Design.parse(_text(row))
        except InputError as error:
            raise InputError(f"{path}, row '{row['row']}': {error}") from None
        record = _record(row)
        for name in _NUMBERS:
            if isinstance(record.get(name), str):
                raise InputError(f"{path}, row '{row['row']}': {name} '{record[name]}' is not a number")
        records.append(record | {"design": str(design), "branches": len(design.branches)})
    order = ["row", "source", "task", "head", "design", "branches", "pretrain", *_NUMBERS, "structure"]
    return pd.DataFrame.from_records(records).reindex(columns=order)


def llava() -> pd.DataFrame:
    """Return the PIIP-LLaVA encoders and their multimodal benchmarks.

    Columns: `row`, `design`, `llm`, `gflops` (of the encoder without projectors), `mmbench_en`, `textvqa` and
    `average`, the mean of nine benchmarks as published. The baseline, CLIP-L at its own patch of 14 pixels, is written
    as a free ViT of its sizes.
    """
    records = []
    for row in _rows(_HERE / "llava.csv"):
        text = (
            row["branches"]
            if row["interactions"] == "0"
            else f"{row['branches']}; interactions={row['interactions']}; merge=none"
        )
        records.append(_record(row) | {"design": str(Design.parse(text))})
    order = ["row", "design", "llm", "gflops", "mmbench_en", "textvqa", "average"]
    return pd.DataFrame.from_records(records).reindex(columns=order)


def merge_ablation() -> pd.DataFrame:
    """Return the ablation of which branches feed the merged map: `out_branches`, `design`, `box_ap`, `mask_ap`."""
    designs = load().set_index("row")["design"]
    base = Design.parse(str(designs["tsb-1568-1120-672"]))
    records = []
    for row in _rows(_HERE / "merge_ablation.csv"):
        out = tuple(sorted("TSB".index(letter) + 1 for letter in row["out_branches"].split("+")))
        design = Design(base.branches, base.interaction, Merge(base.merge.kind, out))
        records.append(_record(row) | {"design": str(design)})
    return pd.DataFrame.from_records(records).reindex(columns=["out_branches", "design", "box_ap", "mask_ap"])


def other_detectors() -> pd.DataFrame:
    """Return PIIP and its peers on COCO where no FLOPs are published: `schedule`, `method`, `box_ap`, `mask_ap`."""
    return pd.DataFrame.from_records([_record(row) for row in _rows(_HERE / "other_detectors.csv")])


def scratch_breakdown() -> pd.DataFrame:
    """Return the from-scratch PIIP-B by module.

    Columns: `module`, `layers`, `dim`, `heads`, `resolution`, `mparams`, `gflops`.
    """
    return pd.DataFrame.from_records([_record(row) for row in _rows(_HERE / "scratch_breakdown.csv")])


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read '{path}': {reason}") from None
    try:
        rows = list(csv.DictReader([line for line in lines if not line.startswith("#")], restval=""))
    except csv.Error as error:
        raise InputError(f"cannot read '{path}': {error}") from None
    if not rows:
        raise InputError(f"{path} has no rows")
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InputError(f"{path}, row {number} has more cells than the header has columns")
    return rows


def _text(row: dict[str, str]) -> str:
    """Write a row of `designs.csv` as a design's text."""
    if row["interactions"] == "0":
        return row["branches"]
    text = f"{row['branches']}; interactions={row['interactions']}; attention={row['attention']}"
    text += f"; heads={row['deform_heads']}; merge={row['merge']}"
    return text + ("; project=no" if row["structure"] == _NO_PROJECT else "")


def _record(row: dict[str, str]) -> dict[str, Any]:
    return {key: _number(value) if key not in _TEXTS else value for key, value in row.items()}


def _number(value: str) -> float | str:
    """Return a cell as a number where it is one; NaN where it is empty."""
    if not value:
        return float("nan")
    try:
        return float(value)
    except ValueError:
        return value

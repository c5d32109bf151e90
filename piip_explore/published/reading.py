"""Files of results, in the format of `designs.csv`: every row is read as the design that it says, or refused."""

from __future__ import annotations

import csv
import difflib
import math
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from piip_explore.design import Design
from piip_explore.errors import InputError

METRICS = {"box_ap": "box AP", "mask_ap": "mask AP", "miou": "mIoU", "top1": "top-1"}
"""Columns of metrics, in percent."""

UNKNOWN = "unknown"
"""How the `structure` of a row begins whose design is a guess: its printed FLOPs are not reproduced."""

_NO_PROJECT = "no interaction projection or norm"
_NEEDED = ("row", "branches", "interactions", "attention", "deform_heads", "merge", "structure")
_OPTIONAL = ("direction", "points", "ratio", "ffn", "project")
_TEXTS = ("source", "task", "head", "pretrain")
_SIZES = ("gflops", "mparams")
_KNOWN = (*_NEEDED, *_OPTIONAL, "out", *_TEXTS, *_SIZES, *METRICS)
_RETURNED = ("row", "source", "task", "head", "design", "branches", "pretrain", *_SIZES, *METRICS, "structure")


def read(path: str | Path) -> pd.DataFrame:
    """Return results from a CSV file in the format of `designs.csv`.

    Columns: `row` (a short name), `source`, `task`, `head`, `design` (canonical text), `branches` (how many),
    `pretrain`, `structure`, and the numbers `gflops`, `mparams`, `box_ap`, `mask_ap`, `miou`, `top1` (NaN where none
    is given). GFLOPs are 10^9 multiply-accumulates. `attrs["unread"]` names the file's columns that mean nothing here.

    A row of several branches says how many interactions it has (0: none; the cells about interactions then mean
    nothing) and how it merges. The file may have columns for `direction`, `points`, `ratio`, `ffn`, `project` (yes or
    no) and `out` too; an empty cell there means the text form's default.

    Raises:
        InputError: the file cannot be read, lacks a column, or a row leaves its design open, contradicts itself, names
            an impossible design or a number that is none; the sentence says which.
    """
    path = Path(path)
    rows = cells(path)
    unread = _check_columns(path, rows[0])
    if repeated := [name for name, times in Counter(row["row"] for row in rows).items() if times > 1]:
        raise InputError(f"{path} has several rows '{repeated[0]}': give each a name of its own")
    records = []
    for row in rows:
        try:
            design = Design.parse(_text(row))
            numbers = {name: _number(name, row.get(name, "")) for name in (*_SIZES, *METRICS)}
            if not row["structure"]:
                raise InputError(f"structure is empty: write 'known', or '{UNKNOWN}' where the design is a guess")
        except InputError as error:
            raise InputError(f"{path}, row '{row['row']}': {error}") from None
        records.append(row | numbers | {"design": str(design), "branches": len(design.branches)})
    frame = pd.DataFrame.from_records(records).reindex(columns=list(_RETURNED))
    frame.attrs["unread"] = unread
    return frame


def cells(path: Path) -> list[dict[str, str]]:
    """Return a CSV file's rows as stripped text by column; lines that start with # are comments.

    Raises:
        InputError: the file cannot be read, has no rows, or a row of more cells than there are columns.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise InputError(f"cannot read '{path}': {reason}") from None
    try:
        reader = csv.DictReader([line for line in lines if not line.startswith("#")], restval="")
        rows = list(reader)
    except csv.Error as error:
        raise InputError(f"cannot read '{path}': {error}") from None
    if not rows:
        raise InputError(f"{path} has no rows")
    repeated = [name for name, times in Counter(reader.fieldnames or ()).items() if name and times > 1]
    if repeated:
        raise InputError(f"{path} has several columns '{repeated[0]}'")
    for number, row in enumerate(rows, 1):
        if None in row:
            raise InputError(f"{path}, row {number} has more cells than the header has columns")
    return [{name.strip(): value.strip() for name, value in row.items()} for row in rows]


def numbers(row: dict[str, str]) -> dict[str, Any]:
    """Return a row with every cell that is a number as one, and empty cells as NaN."""
    return {name: _float(value) if _float(value) is not None else value for name, value in row.items()}


def _check_columns(path: Path, columns: Iterable[str]) -> list[str]:
    """Return the columns that are not read; refuse a missing one, and one that looks like a slip of the pen."""
    columns = list(columns)
    if missing := [name for name in _NEEDED if name not in columns]:
        raise InputError(f"{path} lacks the column {', '.join(missing)}")
    unread = [name for name in columns if name not in _KNOWN]
    for name in unread:
        if meant := difflib.get_close_matches(name.lower(), _KNOWN, 1, 0.8):
            raise InputError(f"{path} has the column '{name}': did you mean '{meant[0]}'?")
    return unread


def _text(row: dict[str, str]) -> str:
    """Write a row as a design's text."""
    branches = row["branches"]
    if len(branches.partition(";")[0].split()) < 2:
        if row["interactions"] not in ("", "0"):
            raise InputError(f"interactions is {row['interactions']}, but there is a single branch: write 0")
        filled = [name for name in ("merge", "out") if row.get(name) not in (None, "", "none", "all")]
        if filled:
            raise InputError(f"{filled[0]} is '{row[filled[0]]}', but there is a single branch: leave it empty")
        return branches
    options = {"interactions": row["interactions"], "merge": row["merge"]}
    if row["interactions"] != "0":
        options |= {"attention": row["attention"], "heads": row["deform_heads"]}
        if _NO_PROJECT in row["structure"]:
            options["project"] = "no"
        for name in (name for name in _OPTIONAL if row.get(name)):
            if options.setdefault(name, row[name]) != row[name]:
                raise InputError(f"{name} is '{row[name]}', but structure says '{_NO_PROJECT}'")
    for name, value in options.items():
        if not value:
            column = "deform_heads" if name == "heads" else name
            raise InputError(f"{column} is empty: a row of several branches says it (interactions: 0 where none)")
    if row.get("out"):
        options["out"] = row["out"].replace("+", ",")
    return "; ".join([branches, *(f"{name}={value}" for name, value in options.items())])


def _number(name: str, cell: str) -> float:
    value = _float(cell)
    if value is None or math.isinf(value):
        raise InputError(f"{name} '{cell}' is not a number")
    if name in METRICS and not (math.isnan(value) or 0 <= value <= 100):
        raise InputError(f"{name} {cell}: expected percent, from 0 to 100")
    if name in _SIZES and value <= 0:
        raise InputError(f"{name} {cell}: expected a number above 0")
    return value


def _float(cell: str) -> float | None:
    """Return a cell as a number, NaN where it is empty, None where it is neither."""
    try:
        return float(cell) if cell else math.nan
    except ValueError:
        return None

"""A table of designs as a CSV or Parquet file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv, parquet

from piip_explore.cost.table import DesignTable
from piip_explore.errors import InputError
from piip_explore.files import write_named

_ROWS = 1 << 20
"""Rows written at a time."""
_NUMBERS = ("macs", "params", "activations", "moved", "kept", "peak")


Extra = Mapping[str, npt.NDArray[np.float64]]
"""Further columns by name, one entry for every row; NaN is left empty."""


def write(table: DesignTable, path: Path, extra: Extra | None = None) -> None:
    """Write all rows: `branch_1`, ..., `options`, the costs as whole numbers, and the extra columns.

    The costs are `macs`, `params`, `activations`, `moved`, `kept` and `peak`.

    The file is written whole or not at all. A design's text is its branches, separated by spaces, then "; " and the
    options where there are any. In Parquet files branches and options are dictionary-encoded.

    Raises:
        InputError: the file exists, cannot be made, or its name ends neither in .csv nor in .parquet.
    """
    check(path)
    writers: dict[str, Callable[[DesignTable, Path, Extra], None]] = {".csv": _write_csv, ".parquet": _write_parquet}
    write_named(path, lambda partial: writers[path.suffix](table, partial, extra or {}))


def check(path: Path) -> None:
    """Check that a table can be written to `path`, before work is spent on it.

    Raises:
        InputError: the file exists, its folder does not, or its name ends neither in .csv nor in .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"'{path}': expected a name that ends in .csv or .parquet")
    if os.path.exists(path):  # unlike Path.exists, also for names that no file can have
        raise InputError(f"'{path}' exists: remove it or choose another name")
    if not path.parent.is_dir():
        raise InputError(f"'{path}': there is no folder '{path.parent}'")


def _write_csv(table: DesignTable, path: Path, extra: Extra) -> None:
    schema = pa.schema(
        (field.name, pa.string() if pa.types.is_dictionary(field.type) else field.type)
        for field in _schema(table, extra)
    )
    with csv.CSVWriter(path, schema) as writer:
        for batch in _batches(table, extra):
            writer.write(batch.cast(schema))


def _write_parquet(table: DesignTable, path: Path, extra: Extra) -> None:
    with parquet.ParquetWriter(path, _schema(table, extra), compression="zstd") as writer:
        for batch in _batches(table, extra):
            writer.write(batch)


def _schema(table: DesignTable, extra: Extra) -> pa.Schema:
    texts = [f"branch_{place + 1}" for place in range(table.columns.branches.shape[1])] + ["options"]
    fields = [(name, pa.dictionary(pa.int32(), pa.string())) for name in texts]
    numbers = [*((name, pa.int64()) for name in _NUMBERS), *((name, pa.float64()) for name in extra)]
    return pa.schema([*fields, *numbers])


def _batches(table: DesignTable, extra: Extra) -> Iterator[pa.Table]:
    columns = table.columns
    branches = pa.array([str(branch) for branch in columns.branch_options], pa.string())
    options = pa.array(_options(table), pa.string())
    for start in range(0, len(table), _ROWS):
        rows = slice(start, start + _ROWS)
        arrays = [
            pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=codes < 0), branches)
            for codes in columns.branches[rows].T
        ]
        arrays.append(pa.DictionaryArray.from_arrays(pa.array(columns.setting[rows].astype(np.int32)), options))
        arrays += [pa.array(getattr(table, name)[rows]) for name in _NUMBERS]
        arrays += [pa.array(values[rows], from_pandas=True) for values in extra.values()]
        yield pa.Table.from_arrays(arrays, schema=_schema(table, extra))


def _options(table: DesignTable) -> list[str]:
    """Return the text of every setting, empty for those that no row has."""
    texts = []
    for code in range(len(table.columns.settings)):
        row = int(np.argmax(table.columns.setting == code))
        found = table.columns.setting[row] == code
        texts.append(str(table.design(row)).partition("; ")[2] if found else "")
    return texts

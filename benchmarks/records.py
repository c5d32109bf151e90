"""A benchmark's table on disk, row by row: what was measured before a kill is not measured again."""

from __future__ import annotations

import argparse
import csv
import io
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from piip_explore.code_hash import code_hash
from piip_explore.files import write_whole
from piip_explore.ops import bench

RESULTS = Path(__file__).parent / "results"
UNFINISHED = 3
"""Exit status of a benchmark that ran into its `--limit`; the same command again measures the rest."""


class Table:
    """Rows of a CSV file, identified by the columns `key`; values are compared as they are written."""

    def __init__(self, path: Path, key: Sequence[str]) -> None:
        self.path, self.key = path, key
        self.rows: list[dict[str, str]] = []
        if path.exists():
            text = path.read_text()
            whole = text[: text.rfind("\n") + 1]  # a kill in the middle of a row leaves it without its end
            if whole != text:
                write_whole(path, lambda part: part.write_text(whole))
            self.rows = list(csv.DictReader(io.StringIO(whole)))

    def __contains__(self, wanted: Mapping[str, object]) -> bool:
        return any(all(row.get(name) == str(wanted[name]) for name in self.key) for row in self.rows)

    def missing(self, wanted: Iterable[dict[str, object]], clock: Clock) -> Iterator[dict[str, object]]:
        """Yield the rows that the table lacks; the clock's limit ends them (`Clock.stopped`)."""
        for row in wanted:
            if row in self:
                continue
            if clock.over():
                return
            yield row

    def append(self, row: Mapping[str, object]) -> None:
        """Add a row to the file, and start the file where there is none.

        Columns are those of the file's first row; a file with others is set aside under another name.
        """
        written = {name: str(value) for name, value in row.items()}
        if self.rows and list(self.rows[0]) != list(written):
            self.path.rename(self.path.with_suffix(f".{int(time.time())}.csv"))
            self.rows = []
        line = io.StringIO()
        writer = csv.DictWriter(line, list(written), lineterminator="\n")
        if not self.rows:
            writer.writeheader()
        writer.writerow(written)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a" if self.rows else "w") as file:
            file.write(line.getvalue())
        self.rows.append(written)


class Clock:
    """The `--limit` of a benchmark: after that many seconds it starts nothing new, and `stopped` is true."""

    def __init__(self, seconds: float) -> None:
        self.end, self.stopped = time.monotonic() + seconds, False

    def over(self) -> bool:
        """Whether the limit is reached; says so."""
        if time.monotonic() < self.end:
            return False
        self.stopped = True
        print("limit reached: the same command again measures the rest", flush=True)
        return True


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that every benchmark has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    options.add_argument("--limit", type=float, default=float("inf"), help="seconds after which nothing new is started")
    options.add_argument("--out", type=Path, default=RESULTS, help="folder of the tables")
    return options


def conditions(device: torch.device) -> dict[str, str]:
    """Return what a time depends on besides its own row: device, versions, and the kernels' code."""
    found = bench.environment(device)
    return {name: found[name] for name in ("device", "torch", "triton")} | {"code": code_hash("ops")}


def stem(name: str) -> str:
    """Return a device's name as a part of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")

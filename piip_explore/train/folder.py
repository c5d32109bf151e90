"""The folder of a run: one training at a time, and nothing in it that is not whole."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch

from piip_explore.errors import InputError
from piip_explore.files import write_whole

CHECKPOINT, METRICS, FINAL = "last.pt", "metrics.jsonl", "metrics.json"
WEIGHTS, BEST = "weights.safetensors", "best.safetensors"

_PARTIAL = re.compile(rf"\.[0-9a-f]{{8}}\.({'|'.join(map(re.escape, (CHECKPOINT, METRICS, FINAL, WEIGHTS, BEST)))})")
"""What `write_whole` leaves behind when it is killed."""
_PATIENCE = 60.0
"""Seconds to wait for processes of a training that was killed: they end when they notice."""


class RunFolder:
    """What a run keeps: a checkpoint to resume from, rows of metrics, and at the end the weights.

    Every process of a run holds the folder's lock as long as it lives, so that a second training, or the same one
    again beside processes of a killed one, does not write into it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock: BinaryIO | None = None

    def own(self, rank: int) -> None:
        """Take the lock of a process: a byte of the file `lock`. The first must find none of another training.

        Raises:
            InputError: another training has the folder, or it cannot be written to.
        """
        import fcntl

        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._lock = (self.root / "lock").open("ab")
        except OSError as error:
            raise InputError(f"cannot write to '{self.root}': {error.strerror}") from None
        self._take(rank, 1)
        if rank == 0:
            self._take(1, 0)  # every other byte, so that processes of a killed training are waited for
            fcntl.lockf(self._lock, fcntl.LOCK_UN, 0, 1)
            for entry in self.root.iterdir():
                if _PARTIAL.fullmatch(entry.name):
                    entry.unlink()

    def _take(self, start: int, count: int) -> None:
        """Lock `count` bytes, 0 for all, from `start` on."""
        import fcntl

        assert self._lock is not None
        began = time.monotonic()
        while True:
            try:
                fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB, count, start)
                return
            except BlockingIOError:
                if time.monotonic() - began > _PATIENCE:
                    raise InputError(f"another training is writing to '{self.root}': choose another --out") from None
                time.sleep(0.2)
            except OSError:
                raise InputError(f"'{self.root}' is on a file system without locks: choose a local folder") from None

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the checkpoint's state, on the CPU; None where there is none.

        Raises:
            InputError: it belongs to other settings, or cannot be read.
        """
        path = self.root / CHECKPOINT
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            kept = state["settings"]
        except Exception as error:  # whatever a damaged file, or one of another program, makes a reader raise
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"cannot resume from '{path}' ({reason}): remove it to start over") from None
        for name, value in settings.items():
            if kept.get(name) != value:
                raise InputError(
                    f"'{path}' was trained with {name} {kept.get(name)!r}, not {value!r}: choose another --out"
                )
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint, whole or not at all."""
        write_whole(self.root / CHECKPOINT, lambda path: torch.save(dict(state), path))

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        write_whole(self.root / name, lambda path: path.write_bytes(content))

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row of metrics."""
        with (self.root / METRICS).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def rewind(self, step: int) -> None:
        """Take back the rows of metrics after a step, which are about to be written again."""
        path = self.root / METRICS
        if not path.exists():
            return
        rows = [row for row in _whole_rows(path) if row["step"] <= step]
        self.write(METRICS, "".join(json.dumps(row) + "\n" for row in rows).encode())

    def finished(self) -> dict[str, Any] | None:
        """Return the last metrics of a run that has ended."""
        path = self.root / FINAL
        return json.loads(path.read_bytes()) if path.exists() else None


def _whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield rows; the last one may be cut off by a kill."""
    for line in path.read_text().splitlines():
        with contextlib.suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and "step" in row:
                yield row

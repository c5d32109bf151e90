"""The folder of a run: one training at a time, and nothing in it that is not whole."""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import Any

import torch

from piip_explore.errors import InputError
from piip_explore.files import exclusive, write_whole

CHECKPOINT, METRICS, FINAL = "last.pt", "metrics.jsonl", "metrics.json"
WEIGHTS, BEST = "weights.safetensors", "best.safetensors"

_PARTIAL = re.compile(rf"\.[0-9a-f]{{8}}\.({'|'.join(map(re.escape, (CHECKPOINT, METRICS, FINAL, WEIGHTS, BEST)))})")
"""What `write_whole` leaves behind when it is killed."""
_DIGEST = 64
_COMMENT = struct.pack("<H", _DIGEST)
"""The length of an archive's comment, in the last bytes before it."""
_PATIENCE = 60.0
"""Seconds to wait for processes of a training that was killed: they end when they notice."""


class RunFolder:
    """What a run keeps: a checkpoint to resume from, rows of metrics, and at the end the weights.

    Every process of a run holds a lock as long as it trains, so that a second training, or the same one again beside
    processes of a killed one, does not write into the folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @contextmanager
    def owned(self, rank: int) -> Iterator[None]:
        """Hold the lock of a process. The first must find none of another training.

        Raises:
            InputError: another training has the folder, or it cannot be written to.
        """
        locks = self.root / "locks"
        with exclusive(locks / str(rank), self._patience()):
            if rank == 0:
                for other in locks.glob("[1-9]*"):  # processes of a killed training are waited for
                    with exclusive(other, self._patience()):
                        pass
                for entry in self.root.iterdir():
                    if _PARTIAL.fullmatch(entry.name):
                        entry.unlink()
            yield

    def _patience(self) -> Callable[[], None]:
        """Return what to call while waiting for a lock: it raises when it has been long enough."""
        began = time.monotonic()

        def wait() -> None:
            if time.monotonic() - began > _PATIENCE:
                raise InputError(f"another training is writing to '{self.root}': choose another --out")

        return wait

    def load(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the checkpoint's state, on the CPU; None where there is none. Its `rows` are those of the metrics.

        Raises:
            InputError: it belongs to other settings, or cannot be read.
        """
        path = self.root / CHECKPOINT
        if not path.exists():
            return None
        try:
            _check(path)
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
        if "rows" not in state:  # earlier versions kept them in their file alone
            state["rows"] = [row for row in _whole_rows(self.root / METRICS) if row["step"] <= state["step"]]
        return state

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the checkpoint, whole or not at all, with a checksum."""

        def write(path: Path) -> None:
            with _SealedFile(path) as file:
                torch.save(dict(state), file)
                file.seal()

        write_whole(self.root / CHECKPOINT, write)

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        write_whole(self.root / name, lambda path: path.write_bytes(content))

    def log(self, row: Mapping[str, Any]) -> None:
        """Append a row of metrics."""
        with (self.root / METRICS).open("a") as file:
            file.write(json.dumps(row) + "\n")

    def holds(self, name: str, content: bytes) -> bool:
        """Return whether a file is there, with this content."""
        path = self.root / name
        return path.exists() and path.read_bytes() == content


class _SealedFile(BufferedWriter):
    """A file for `torch.save`, and then its SHA-256, as the comment of a ZIP archive, which any reader skips."""

    def __init__(self, path: Path) -> None:
        super().__init__(FileIO(path, "w"))
        self._digest, self._held = hashlib.sha256(), b""

    def write(self, content: Any) -> int:
        """Write all but the last two bytes, which are held back: an archive's say that it has no comment."""
        part = memoryview(content)
        if len(part) < len(_COMMENT):
            part, self._held = memoryview(self._held + part), b""
        self._put(self._held)
        self._put(part[:-2])
        self._held = bytes(part[-2:])
        return len(content)

    def seal(self) -> None:
        """Write the checksum."""
        self._put(_COMMENT)
        super().write(self._digest.hexdigest().encode())

    def _put(self, content: bytes | memoryview) -> None:
        self._digest.update(content)
        super().write(content)


def _check(path: Path) -> None:
    """Check a sealed file; those of earlier versions have no seal.

    Raises:
        ValueError: it is damaged.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with content, memoryview(content) as whole:
            start = len(whole) - _DIGEST
            if whole[max(0, start - 2) : start] != _COMMENT:
                return
            with whole[:start] as sealed:
                digest = hashlib.sha256(sealed).hexdigest().encode()
            if whole[start:] != digest:
                raise ValueError("its checksum does not match")


def _whole_rows(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of metrics in a file, where there is one; the last one may be cut off by a kill."""
    for line in path.read_bytes().splitlines() if path.exists() else ():
        with suppress(ValueError):
            row = json.loads(line)
            if isinstance(row, dict) and isinstance(row.get("step"), int):
                yield row

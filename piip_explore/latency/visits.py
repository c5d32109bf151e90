"""The log of a measurement: every visit to a part or a design, so that it resumes after a kill. No torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from piip_explore.errors import InputError


@dataclass(frozen=True)
class Visit:
    """One timing (`runners.SampleTiming`): of what, by its key, and how many seconds it all took."""

    what: str
    ratio: float
    reference: float
    memory: int | None
    took: float


class Log:
    """Visits in a file: a line each, with its hash; the first line says what is measured, and under which conditions.

    Raises:
        InputError: the file cannot be written, or belongs to another measurement.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.path = path
        self.visits: list[Visit] = []
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = list(_whole_lines(path.read_bytes())) if path.exists() else []
            if lines and lines[0] != settings:
                changed = [name for name in settings if lines[0].get(name) != settings[name]]
                raise InputError(
                    f"'{path}' is an unfinished measurement with another {' and '.join(changed)}: finish it with its "
                    "settings, remove it, or choose another --name"
                )
            self.visits = [Visit(**line) for line in lines[1:]]
            if not lines:
                path.write_bytes(b"")
                self._write(settings)
            else:  # what a kill has torn is cut off
                os.truncate(path, sum(len(_line(line)) for line in lines))
        except OSError as error:
            raise InputError(f"cannot write '{path}': {error.strerror or error}") from None

    @property
    def seconds(self) -> float:
        """How long all visits took so far."""
        return sum(visit.took for visit in self.visits)

    def counts(self) -> Counter[str]:
        """Return how often each thing was visited."""
        return Counter(visit.what for visit in self.visits)

    def add(self, visit: Visit) -> None:
        """Write a visit."""
        self._write(asdict(visit))
        self.visits.append(visit)

    @property
    def reference(self) -> float:
        """The seconds of the reference on the device when little disturbs it: a tenth of the visits found it faster."""
        return float(np.quantile([visit.reference for visit in self.visits], 0.1))

    def times(self) -> dict[str, float]:
        """Return the seconds of each thing: the median of its visits, in units of the reference."""
        ratios: dict[str, list[float]] = {}
        for visit in self.visits:
            ratios.setdefault(visit.what, []).append(visit.ratio)
        return {what: float(np.median(found)) * self.reference for what, found in ratios.items()}

    def memory(self) -> dict[str, int]:
        """Return the peak memory of each thing for which it was counted."""
        return {visit.what: visit.memory for visit in self.visits if visit.memory is not None}

    def remove(self) -> None:
        """Remove the file: the measurement is finished."""
        self.path.unlink(missing_ok=True)

    def _write(self, values: Mapping[str, Any]) -> None:
        with self.path.open("ab") as file:
            file.write(_line(values))


def _line(values: Mapping[str, Any]) -> bytes:
    text = json.dumps(values)
    return f"{hashlib.sha256(text.encode()).hexdigest()[:16]} {text}\n".encode()


def _whole_lines(content: bytes) -> Iterator[dict[str, Any]]:
    """Yield the lines up to the first that is torn or damaged."""
    for line in content.splitlines(keepends=True):
        digest, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or hashlib.sha256(text).hexdigest()[:16] != digest.decode(errors="replace"):
            return
        yield json.loads(text)

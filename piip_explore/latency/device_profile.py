"""Device profiles: files with what was timed on a device, from which latencies of a space's designs follow. No torch.

A profile is a JSON file with a checksum. It travels: measured on one machine, it predicts on any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from piip_explore.errors import InputError
from piip_explore.files import write_named
from piip_explore.latency.kinds import Sides
from piip_explore.latency.model import Error, LatencyModel, PartTimes

FORMAT = 1

FOLDER = Path("devices")
"""The folder of profiles that are given by name."""


@dataclass(frozen=True)
class DeviceConditions:
    """What times depend on."""

    device: str
    backend: str
    dtype: str
    batch: int
    threads: int
    clock: str
    torch: str
    runtime: str
    kernel_backend: str
    driver: str
    clocks: str
    system: str


@dataclass(frozen=True)
class Timed:
    """A whole design that was timed: seconds and, where the device counts it, peak memory in bytes."""

    design: str
    seconds: float
    memory: int | None
    held_out: bool


@dataclass(frozen=True)
class DeviceProfile:
    """What was measured on a device.

    Attributes:
        name: the name that limits and commands use.
        date: when the measurement ended, in UTC.
        space: name of the space whose parts were timed.
        conditions: what the times depend on.
        rounds: how often every part and design was timed.
        reference: seconds of the reference (`runners.Runner`), the unit of the measured times.
        parts: seconds by the sides of the maps, by kind of part.
        designs: whole designs; those that are held out took no part in the calibration.
        factors: weights of the modules and the constant (`model.LatencyModel`).
        error: on the designs that are held out.
    """

    name: str
    date: str
    space: str
    conditions: DeviceConditions
    rounds: int
    reference: float
    parts: Mapping[str, Mapping[Sides, float]] = field(repr=False)
    designs: Sequence[Timed] = field(repr=False)
    factors: Mapping[str, float]
    error: Error

    @cached_property
    def model(self) -> LatencyModel:
        """The latency of any design whose parts were timed."""
        return LatencyModel(PartTimes(self.parts), self.factors)

    def conditions_text(self) -> str:
        """Return in one line what the latencies depend on, and how far they were off."""
        given = self.conditions
        return (
            f"{self.name}: {given.device}, {given.backend}, {given.dtype}, batch {given.batch}; predicted, "
            f"{self.error.text()} on {self.error.designs} designs"
        )

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all.

        Raises:
            InputError: it cannot be written.
        """
        content = asdict(self)
        content["parts"] = {
            kind: [[list(sides), seconds] for sides, seconds in times.items()] for kind, times in self.parts.items()
        }
        whole = {"format": FORMAT, "sha256": _digest(content), **content}
        text = json.dumps(whole, indent=1) + "\n"
        write_named(path, lambda partial: partial.write_text(text, encoding="utf-8"))


def path_of(name: str) -> Path:
    """Return the file that a name means: the file itself, or `devices/NAME.json`."""
    return Path(name) if name.endswith(".json") or "/" in name else FOLDER / f"{name}.json"


def load(name: str) -> DeviceProfile:
    """Read the profile of a name (`devices/NAME.json`) or in a file.

    Raises:
        InputError: there is none, or it is damaged or of a newer version.
    """
    path = path_of(name)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json"))) or "none"
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
        raise InputError(
            f"no device profile '{path}' ({reason}): measure one with 'piip-explore measure-device SPACE --name {name}'"
            f" (in ./{FOLDER}: {known})"
        ) from None
    try:
        content = json.loads(text)
        if content.pop("format") > FORMAT:
            raise InputError(f"device profile '{path}' was made by a newer version of piip-explore: update it")
        if content.pop("sha256") != _digest(content):
            raise InputError(f"device profile '{path}' is damaged: its checksum does not match; measure it again")
        return _from_json(content)
    except InputError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        raise InputError(f"'{path}' is not a device profile, or is damaged: measure it again") from None


def _from_json(content: dict[str, Any]) -> DeviceProfile:
    content["parts"] = {
        kind: {tuple(sides): seconds for sides, seconds in times} for kind, times in content["parts"].items()
    }
    content["conditions"] = DeviceConditions(**content["conditions"])
    content["designs"] = [Timed(**timed) for timed in content["designs"]]
    content["error"] = Error(**content["error"])
    return DeviceProfile(**content)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

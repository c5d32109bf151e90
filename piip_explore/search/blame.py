"""Whom a failed evaluation is charged to: the design, or the device that it ran on.

A crash (an evaluation that raises, a worker process that dies of its own doing, an evaluation that hangs) says nothing
by itself: the disk may be full, the GPU broken, a data set missing on this host. It counts against the design once the
same device has evaluated something else afterwards. A device where one design after the other crashes evaluates a
design that is known to be sound; if that fails as well, the device is at fault, and nothing that happened on it counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from piip_explore.search.evaluators import Place

MAX_CRASHES = 2
"""Crashes of a design, each in a worker process of its own and on a sound device, after which it is given up."""

MAX_KILLS = 10
"""Workers killed from outside on one design, after which it is given up: its memory may have been the reason."""

LOST = "the search that ran it ended without a word"
"""The reason of a trial that a search left running: nobody's fault."""

SUSPICIOUS = 3
"""Designs that crash on a device one after the other, after which the device has to prove that it is sound."""


@dataclass(frozen=True)
class Crash:
    """What happened. `once` is enough to give the design up: it says itself that it cannot be evaluated."""

    reason: str
    once: bool = False


@dataclass
class _Device:
    failing: dict[str, str] = field(default_factory=dict)
    unproven: dict[int, Crash] = field(default_factory=dict)


class Blame:
    """The crashes on this search's devices since each of them has last evaluated something."""

    def __init__(self) -> None:
        self._devices: dict[Place, _Device] = {}

    def crashed(self, place: Place, design_id: str, copy: int | None, crash: Crash) -> None:
        """Take note of a crash; `copy` is the trial that stands for the design now, if it was queued again."""
        found = self._devices.setdefault(place, _Device())
        found.failing[design_id] = crash.reason
        if copy is not None:
            found.unproven[copy] = crash

    def unproven(self, place: Place) -> dict[int, Crash]:
        """Return the crashes that may be the device's fault, by the trials that wait to be tried again."""
        return self._devices[place].unproven if place in self._devices else {}

    @property
    def refused(self) -> int:
        """How many designs say that nothing can evaluate them, which no success at their place has confirmed yet."""
        return sum(crash.once for device in self._devices.values() for crash in device.unproven.values())

    def suspicious(self, place: Place) -> bool:
        """Whether a device has to prove that it is sound."""
        return place in self._devices and len(self._devices[place].failing) >= SUSPICIOUS

    def failures(self, place: Place) -> list[str]:
        """Return why designs crashed on a device since its last success, one reason per design."""
        return list(self._devices[place].failing.values()) if place in self._devices else []

    def clear(self, place: Place) -> dict[int, Crash]:
        """Begin anew for a device, after a success or in quarantine; return what was unproven."""
        found = self._devices.pop(place, None)
        return {} if found is None else found.unproven

    def forget(self) -> None:
        """Begin anew for all devices: the storage was cut, and trials may have other numbers."""
        self._devices.clear()

"""Limits that name their conditions: `25@h100`, milliseconds on a profile's device, and `24@16`, GB at 16 images."""

from __future__ import annotations

import math
from typing import NamedTuple

from piip_explore.errors import InputError


class Bound(NamedTuple):
    """The most milliseconds on the device of a profile (`piip_explore.latency`)."""

    milliseconds: float
    profile: str

    def __str__(self) -> str:
        return f"{self.milliseconds:g}@{self.profile}"


def parse_bound(text: str) -> Bound:
    """Parse `25@h100`.

    Raises:
        InputError: it is not such a limit.
    """
    number, _, profile = text.partition("@")
    try:
        milliseconds = float(number)
    except ValueError:
        milliseconds = math.nan
    if not profile or not 0 < milliseconds < math.inf:
        raise InputError(f"latency limit '{text}': expected milliseconds@profile, such as 25@h100")
    return Bound(milliseconds, profile)


class TrainingBound(NamedTuple):
    """The most GB that training may take at so many images per step on one device (`training_gb`)."""

    gigabytes: float
    batch: int

    def __str__(self) -> str:
        return f"{self.gigabytes:g}@{self.batch}"


def parse_training_bound(text: str) -> TrainingBound:
    """Parse `24@16`, or `24` for one image per step.

    Raises:
        InputError: it is not such a limit.
    """
    number, at, images = text.partition("@")
    try:
        bound = TrainingBound(float(number), int(images) if at else 1)
    except ValueError:
        bound = TrainingBound(math.nan, 1)
    if not (0 < bound.gigabytes < math.inf and bound.batch > 0):
        raise InputError(f"training memory limit '{text}': expected GB@images per step, such as 24@16")
    return bound

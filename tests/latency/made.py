"""Profiles of devices that do not exist, whose every time is known."""

from pathlib import Path

import numpy as np

from piip_explore.latency.device_profile import DeviceConditions, DeviceProfile, Timed, path_of
from piip_explore.latency.kinds import name, work
from piip_explore.latency.model import CONSTANT, Error
from piip_explore.latency.plan import points
from piip_explore.space import SearchSpace

SPACE = """
name: small
branches:
  - {models: [vit_tiny, vit_small], resolutions: [224, 256, 288, 320, 352, 384, 448], windows: [none, w7]}
  - {models: [vit_small, vit_base], resolutions: [112, 160, 224]}
interactions: [3, 6]
merge: [linear, conv]
constraints: {decreasing_resolution: yes}
"""
CONDITIONS = DeviceConditions("box", "eager", "float32", 1, 1, "its thread", "2.0", "", "torch", "", "", "Linux")


class Rate:
    """A device that takes so many seconds per unit of work, and per part."""

    def __init__(self, per_work: float = 1e-11, per_part: float = 1e-5) -> None:
        self.per_work, self.per_part = per_work, per_part

    def seconds(self, kind, *sides):
        def one(*sides):
            return self.per_work * work(kind, tuple(int(side) for side in sides)) + self.per_part

        return np.vectorize(one, otypes=[float])(*sides)


def made_profile(
    space: SearchSpace, called: str = "box", times: Rate | None = None, date: str = "2026-01-01T00:00:00+00:00"
) -> DeviceProfile:
    """Write the profile of a made-up device into the current folder."""
    parts: dict[str, dict[tuple[int, ...], float]] = {}
    for point in points(space.columns()):
        seconds = float((times or Rate()).seconds(point.kind, *point.sides))
        parts.setdefault(name(point.kind), {})[point.sides] = seconds
    designs = [Timed(str(space.design(0)), 0.1, None, True)]
    factors = {"branch": 1.1, "interactions": 0.9, CONSTANT: 0.002}
    profile = DeviceProfile(
        called, date, space.name, CONDITIONS, 2, 0.001, parts, designs, factors, Error(12, 0.05, 0.1, 0.95, 0.8)
    )
    profile.write(path_of(called))
    assert Path("devices").is_dir()
    return profile

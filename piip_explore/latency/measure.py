"""Measuring a device: the parts of a space and a few whole designs, in rounds, until the time is used."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from piip_explore.cost import count
from piip_explore.cost.table import DesignTable
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.latency.conditions import conditions
from piip_explore.latency.device_profile import DeviceConditions, DeviceProfile, Timed, path_of
from piip_explore.latency.kinds import name as kind_name
from piip_explore.latency.model import PartTimes, calibrate, error
from piip_explore.latency.plan import Point, points
from piip_explore.latency.runners import Runner
from piip_explore.latency.visits import Log, Visit
from piip_explore.memory import is_out_of_memory

FEWEST = 12
"""The fewest whole designs: eight to calibrate with, four to measure the error."""

Progress = Callable[[int, int, int, float], None]
"""Called before each visit with the round (from 1), the visits done in it, how many it has, and the seconds so far."""


@dataclass(frozen=True)
class Work:
    """What to time: parts and whole designs by their keys."""

    parts: Mapping[str, Point]
    designs: Mapping[str, Design]

    @property
    def keys(self) -> list[str]:
        """All keys, the parts first."""
        return [*self.parts, *self.designs]

    def what(self, key: str) -> Point | Design:
        """Return what a key stands for."""
        return self.parts[key] if key in self.parts else self.designs[key]

    @property
    def digest(self) -> str:
        """A hash of all that is timed."""
        text = repr([(kind_name(point.kind), point.sides) for point in self.parts.values()]) + repr(list(self.designs))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def plan(table: DesignTable, designs: int) -> Work:
    """Return the parts of a table's designs, and `designs` of these designs, chosen at random.

    Raises:
        InputError: the table has too few designs, or too few were asked for.
    """
    if designs < FEWEST:
        raise InputError(f"{designs} whole designs: expected at least {FEWEST}, to calibrate and to measure the error")
    if len(table) < designs:
        raise InputError(f"the space has only {len(table)} designs: measure them with 'piip-explore profile'")
    rows = random.Random(0).sample(range(len(table)), designs)
    chosen = [table.design(row) for row in rows]
    parts = {f"part-{number}": point for number, point in enumerate(points(table.columns))}
    return Work(parts, {f"design-{design.id}": design for design in chosen})


def measure(
    work: Work, space: str, runner: Runner, name: str, minutes: float, progress: Progress | None = None
) -> DeviceProfile:
    """Time all parts and designs in rounds, each in another order; calibrate; write the profile.

    There is always one whole round, however long it takes. After a stop of any kind, the same call resumes.

    Args:
        work: what to time.
        space: the space's name.
        runner: how to time it.
        name: of the profile, which is written to `profile.path_of(name)`.
        minutes: stop after that long, interrupted runs included.
        progress: told about every visit.

    Raises:
        InputError: there is such a profile already, the backend does not run here, or the memory does not suffice.
    """
    path = path_of(name)
    if path.exists():
        raise InputError(f"'{path}' exists: choose another --name, or remove it to measure again")
    runner.check()
    found = conditions(runner)
    log = Log(path.with_suffix(".measuring"), {"space": space, "work": work.digest, **asdict(found)})
    _rounds(work, runner, log, 60 * minutes, progress)
    made = _profile(work, log, name, space, found)
    made.write(path)
    log.remove()
    shutil.rmtree(runner.folder, ignore_errors=True)
    return made


def folder_of(name: str) -> Path:
    """Return the folder for files of a measurement under way."""
    return path_of(name).with_suffix(".files")


def _rounds(work: Work, runner: Runner, log: Log, seconds: float, progress: Progress | None) -> None:
    while True:
        counts = log.counts()
        number = min(counts[key] for key in work.keys)
        order = work.keys
        random.Random(number).shuffle(order)
        left = [key for key in order if counts[key] == number]
        for done, key in enumerate(left, start=len(order) - len(left)):
            if number and log.seconds >= seconds:
                return
            if progress is not None:
                progress(number + 1, done, len(order), log.seconds)
            _visit(work, runner, log, key)


def _visit(work: Work, runner: Runner, log: Log, key: str) -> None:
    start = time.perf_counter()
    try:
        timing = runner.time(work.what(key), key)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        what = work.what(key)
        shown = what if isinstance(what, Design) else kind_name(what.kind)
        raise InputError(f"batch {runner.batch} of '{shown}' does not fit into the memory of {runner.device}") from None
    log.add(Visit(key, *timing, took=time.perf_counter() - start))


def _profile(work: Work, log: Log, name: str, space: str, given: DeviceConditions) -> DeviceProfile:
    seconds, memory = log.times(), log.memory()
    parts: dict[str, dict[tuple[int, ...], float]] = {}
    for key, point in work.parts.items():
        parts.setdefault(kind_name(point.kind), {})[point.sides] = seconds[key]
    timed = [
        Timed(str(design), seconds[key], memory.get(key), held_out=number % 3 == 2)
        for number, (key, design) in enumerate(work.designs.items())
    ]
    designs = dict(zip((one.design for one in timed), work.designs.values(), strict=True))
    fit, kept = ([one for one in timed if one.held_out == out] for out in (False, True))
    model = calibrate(PartTimes(parts), [designs[one.design] for one in fit], [one.seconds for one in fit])
    off = error(
        [model.seconds(designs[one.design]) for one in kept],
        [one.seconds for one in kept],
        [count(designs[one.design], "built").macs for one in kept],
    )
    return DeviceProfile(
        name=Path(name).stem,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        space=space,
        conditions=given,
        rounds=min(log.counts().values()),
        reference=log.reference,
        parts=parts,
        designs=timed,
        factors=model.factors,
        error=off,
    )

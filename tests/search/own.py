"""Evaluators of a user's own, for tests."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.search.evaluators import EvaluationTask, Outcome, Progress


@dataclass(frozen=True)
class Length:
    """Scores a design by the length of its text."""

    scale: float = 1.0

    def describe(self) -> dict[str, object]:
        return {"kind": "length", "scale": self.scale}

    def conditions(self, device: str) -> dict[str, str]:
        return {"code_version": "1", "kernel_backend": "none"}

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        return Outcome("ok", self.scale * len(task.design), None, 0.1)


twice = Length(2.0)


class Lacking:
    def describe(self) -> dict[str, object]:
        return {}


class Unsendable(Length):
    def __reduce__(self):
        raise TypeError("it holds an open file")


@dataclass(frozen=True)
class Picky(Length):
    """Cannot evaluate designs with `refused` in their text, and crashes on those with `crashing`."""

    refused: str = ""
    crashing: str = ""

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        if self.refused and self.refused in task.design:
            raise InputError(f"'{task.design}' has no eyes")
        if self.crashing and self.crashing in task.design:
            raise RuntimeError("the disk is on fire")
        return super().evaluate(task, progress)


refuses_some = Picky(refused="@112 vit[depth=6")
refuses_all = Picky(refused="vit")
crashes_always = Picky(crashing="vit")


@dataclass(frozen=True)
class Waiting(Length):
    """Waits until a file `open` is in the current folder; leaves a file `begun` there."""

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        Path("begun").touch()
        while not Path("open").exists():
            progress(0.5)
            time.sleep(0.02)
        return super().evaluate(task, progress)


@dataclass(frozen=True)
class Silent(Length):
    """Begins, says nothing and does not end, as a worker that loads what is large."""

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        Path("begun").touch()
        time.sleep(3600)
        raise AssertionError

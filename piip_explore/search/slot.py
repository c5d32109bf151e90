"""A worker, and what it evaluates."""

from __future__ import annotations

import time
from dataclasses import dataclass

from piip_explore.search.evaluators import EvaluationTask, Place
from piip_explore.search.worker import STARTING, Share

START_SECONDS = 600.0
"""How long a worker process may take to start, besides that."""


@dataclass
class Slot:
    """A worker and its evaluation.

    `heard`: when it last showed progress; `probe`: it tests the place; `phase`: what it is doing, since when, and the
    share of that; `trained`: when it began to train.
    """

    number: int
    place: Place
    task: EvaluationTask | None = None
    share: float = 0.0
    heard: float = 0.0
    phase: str = ""
    phase_since: float = 0.0
    of_phase: float = 0.0
    trained: float | None = None
    idle_until: float = 0.0
    probe: bool = False

    def begin(self, task: EvaluationTask, probe: bool) -> None:
        """Take on an evaluation, which tests the place if it is a probe."""
        now = time.monotonic()
        self.task, self.share, self.heard, self.probe = task, 0.0, now + START_SECONDS, probe
        self.phase, self.phase_since, self.of_phase, self.trained = STARTING, now, 0.0, None

    def follow(self, news: Share) -> None:
        """Take in what the evaluation says of itself."""
        now = time.monotonic()
        if news.phase != self.phase:
            self.phase, self.phase_since = news.phase, now
        if news.value and self.trained is None:
            self.trained = now
        self.heard, self.share, self.of_phase = now, news.value, news.of_phase

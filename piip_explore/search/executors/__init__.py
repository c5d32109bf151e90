"""What runs evaluations: one class per engine, with one small interface.

An executor has numbered workers, which may come and go; each is at a place and evaluates one design at a time. It knows
nothing of studies, and a study nothing of processes; `supervisor` brings them together.

    local   worker processes on this machine
    ray     the same processes, on the nodes of a Ray cluster: `ray_node` is what runs there
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from piip_explore.search.evaluators import EvaluationTask, Evaluator, Place
from piip_explore.search.worker import Done, Failed, Share, Stopped


@dataclass(frozen=True)
class Died:
    """The worker is gone. `outside`: something else ended it, not what it evaluated."""

    reason: str
    outside: bool = False


Event = Share | Done | Failed | Stopped | Died
"""What becomes of an evaluation; all but `Share` end it."""


class Executor(Protocol):
    """Runs evaluations by numbered workers. A worker whose evaluation has failed or died takes another all the same."""

    @property
    def workers(self) -> Mapping[int, Place]:
        """The workers there are now, and where each is; one that is lost tells the end of its evaluation first."""

    def submit(self, number: int, task: EvaluationTask) -> None:
        """Have an idle worker begin an evaluation."""

    def events(self, seconds: float) -> Iterator[tuple[int, Event]]:
        """Wait up to so many seconds for news, and yield them with their workers."""

    def stop(self) -> None:
        """Ask all evaluations to end at their next step; nothing is submitted after that."""

    def kill(self, number: int) -> None:
        """End a worker's evaluation at once, without an event."""

    def close(self) -> None:
        """End everything and leave no process behind."""


class Engine(Protocol):
    """Makes executors; it knows where they will run before there is an evaluator."""

    @property
    def device(self) -> str:
        """A device that evaluations run on, as PyTorch names it."""

    def __str__(self) -> str:
        """What a person reads: how many workers, and where."""

    def start(self, evaluator: Evaluator, logs: Path) -> Executor:
        """Return an executor whose workers evaluate with `evaluator` and log to files in the folder `logs`."""

"""How far a search is: counts, front, hypervolume, time left, and each as a line or a table."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from piip_explore.search import pareto, rungs
from piip_explore.search.evaluators import EvaluationTask
from piip_explore.search.executors import Event
from piip_explore.search.forecast import Clock, Forecast
from piip_explore.search.storage import COMPLETE
from piip_explore.search.supervisor import Slot, Supervisor
from piip_explore.search.worker import Done, Share, Stopped
from piip_explore.terminal import duration, printable

if TYPE_CHECKING:
    from rich.table import Table

STOPPING = "Stopping at the next step; Ctrl-C again stops at once."
_FRONT_ROWS = 8


class SearchProgress:
    """Counts, front, hypervolume, device-hours and time left of a search that runs."""

    def __init__(self, supervisor: Supervisor, forecast: Forecast | None = None) -> None:
        self.supervisor = supervisor
        self.study = supervisor.study
        self.clock = Clock(forecast, supervisor.began)

    def took(self, slot: Slot, task: EvaluationTask, event: Event) -> None:
        """Take note of how long an evaluation has trained."""
        if isinstance(event, Done) and slot.trained is not None:
            self.clock.ended(time.monotonic() - slot.trained, rungs.work(task.fidelity))

    def counts(self) -> str:
        """Return one line: done, failed, running, left, hypervolume, device-hours, time left."""
        ledger = self.study.ledger
        done = sum(len(rung.evaluated) for rung in ledger.rungs)
        failed = sum(len(rung.failed) for rung in ledger.rungs)
        parts = [
            f"{done} done",
            f"{failed} failed",
            f"{len(ledger.running)} running",
            f"{self._evaluations_left()} left",
        ]
        if self.supervisor.quarantined:
            parts.append(f"not used: {', '.join(map(str, self.supervisor.quarantined))}")
        if self.supervisor.deaths:
            parts.append(f"{self.supervisor.deaths} workers replaced")
        volume = self.hypervolume()
        parts += [f"hypervolume {volume:.4g} (from the worst score and cost so far)"] if volume else []
        unit = "GPU-hours" if any("cuda" in slot.place.device for slot in self.supervisor.slots) else "CPU-hours"
        parts.append(f"{ledger.seconds / 3600:.2f} {unit}")
        seconds = self.seconds_left()
        parts += [f"about {duration(seconds)} to go"] if seconds else []
        return ", ".join(parts)

    def _evaluations_left(self) -> int:
        ledger, fidelities = self.study.ledger, self.study.record.rungs
        planned = sum(rungs.quota(fidelities, n, self.study.budget) for n in range(len(ledger.rungs)))
        ended = sum(len(rung.evaluated) + len(rung.failed) - len(rung.infeasible) for rung in ledger.rungs)
        return max(0, planned - ended - len(ledger.running))

    def hypervolume(self) -> float:
        """Return the hypervolume of the full runs, from the worst of them."""
        losses = self._losses()[1]
        return pareto.hypervolume(losses, losses.max(axis=0)) if len(losses) else 0.0

    def seconds_left(self) -> float | None:
        """Return an estimate of the time left, None while nothing tells or the search is about to stop."""
        if self.supervisor.stopping:
            return None
        now = time.monotonic()
        busy = [slot for slot in self.supervisor.slots if slot.task is not None and not slot.probe]
        training = [(now - slot.trained, slot.share * _work(slot)) for slot in busy if slot.trained is not None]
        preparing = [
            (now - slot.phase_since) * (1 - slot.of_phase) / slot.of_phase
            for slot in busy
            if slot.trained is None and slot.of_phase > 0.01
        ]
        left = self.study.work_left - sum(share for _, share in training)
        return self.clock.left(max(0.0, left), len(self.supervisor.slots), training, preparing) if left > 0 else 0.0

    def _losses(self) -> tuple[list[int], pareto.Floats]:
        table = self.study.store.table
        numbers = [n for n in self.study.ledger.rungs[-1].evaluated.values() if table.state[n] == COMPLETE]
        values = np.array([table.values[n] for n in numbers], dtype=np.float64)
        return numbers, pareto.to_losses(values, self.study.record.directions)

    def table(self) -> Table:
        """Return the live table: counts, what each worker does, the front so far."""
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2))
        grid.add_row(self.counts())
        for slot in self.supervisor.slots:
            grid.add_row(Text(f"  {slot.place}: {doing(slot)}"))  # a Text: in a str, brackets of designs are markup
        numbers, losses = self._losses()
        rows = np.flatnonzero(pareto.front(losses))
        rows = rows[np.argsort(losses[rows, -1])]
        shown = rows[np.unique(np.linspace(0, len(rows) - 1, _FRONT_ROWS).astype(int))] if len(rows) else rows
        for row in shown:
            number = numbers[row]
            design = str(self.study.store.table.attribute("design", number))
            grid.add_row(Text(f"  front: {self._values(number)}  {printable(design)}"))
        if self.supervisor.stopping:
            grid.add_row(STOPPING)
        return grid

    def _values(self, number: int) -> str:
        values = self.study.store.table.values[number] or ()
        return "  ".join(f"{n} {v:.4g}" for n, v in zip(self.study.record.objectives, values, strict=True))

    def trial_line(self, slot: Slot, task: EvaluationTask, event: Event) -> str:
        """Return what became of an evaluation: number, values, seconds, design; and how far the search is."""
        taken = None if slot.trained is None else time.monotonic() - slot.trained
        if taken is None and isinstance(event, Done):
            taken = event.outcome.seconds
        seconds = "" if taken is None else f"  {taken:.0f} s"
        became = self._became(task, event)
        return printable(f"trial {task.trial}{_at(task)}: {became}{seconds}  {task.design}  [{self._brief()}]")

    def _became(self, task: EvaluationTask, event: Event) -> str:
        if isinstance(event, Done):
            outcome = event.outcome
            return (
                self._values(task.trial) if outcome.status == "ok" else f"failed ({outcome.status}: {outcome.message})"
            )
        return "stopped, put back" if isinstance(event, Stopped | Share) else f"failed ({event.reason})"

    def _brief(self) -> str:
        """Return how far the search is, in a few words."""
        books = self.study.ledger.rungs
        failed, seconds = sum(len(rung.failed) for rung in books), self.seconds_left()
        parts = [f"{sum(len(rung.evaluated) for rung in books)} done"] + ([f"{failed} failed"] if failed else [])
        parts += [f"{self._evaluations_left()} to do"] + ([f"about {duration(seconds)}"] if seconds else [])
        return ", ".join(parts)


def doing(slot: Slot) -> str:
    """Return what a slot is doing, in words."""
    if slot.task is None:
        return "idle"
    design = f"{printable(slot.task.design)}{_at(slot.task)}"
    if slot.trained is None and slot.phase not in ("training", ""):
        share = f" {slot.of_phase:.0%}" if slot.of_phase else ""
        return f"{slot.phase}{share} for {design}"
    return f"{slot.share:4.0%} of {design}"


def _work(slot: Slot) -> float:
    return rungs.work(slot.task.fidelity) if slot.task else 0.0


def _at(task: EvaluationTask) -> str:
    """Return the fidelity of an evaluation, nothing for a full run."""
    return "" if task.fidelity == 1 else f" at fidelity {task.fidelity:.3g}" if task.fidelity else " untuned"

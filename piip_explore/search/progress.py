"""The live table of a search, and its plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from piip_explore.search import pareto, rungs
from piip_explore.search.storage import COMPLETE
from piip_explore.search.supervisor import Slot, Supervisor

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_STOPPING = "Stopping at the next step; Ctrl-C again stops at once."
_TABLE_SECONDS = 0.25
_LINE_SECONDS = 30.0
_FRONT_ROWS = 8


class Progress:
    """Counts, front, hypervolume, device-hours and time left of a search that runs."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        self.study = supervisor.study
        self._begun_with = self._work_done()

    def counts(self) -> str:
        """Return one line: done, failed, running, left, hypervolume, device-hours, time left."""
        ledger, study = self.study.ledger, self.study
        done = sum(len(rung.evaluated) for rung in ledger.rungs)
        failed = sum(len(rung.failed) for rung in ledger.rungs)
        planned = sum(rungs.quota(study.record.rungs, n, study.budget) for n in range(len(ledger.rungs)))
        running = len(ledger.running)
        left = max(0, planned - done - failed - running)
        parts = [f"{done} done", f"{failed} failed", f"{running} running", f"{left} left"]
        if self.supervisor.deaths:
            parts.append(f"{self.supervisor.deaths} workers replaced")
        volume = self.hypervolume()
        parts += [f"hypervolume {volume:.4g}"] if volume else []
        unit = "GPU-hours" if "cuda" in self.supervisor.devices[0] else "CPU-hours"
        parts.append(f"{ledger.seconds / 3600:.2f} {unit}")
        seconds = self.seconds_left()
        parts += [f"about {_duration(seconds)} to go"] if seconds else []
        return ", ".join(parts)

    def hypervolume(self) -> float:
        """Return the hypervolume of the full runs, from the worst of them."""
        losses = self._losses()[1]
        return pareto.hypervolume(losses, losses.max(axis=0)) if len(losses) else 0.0

    def seconds_left(self) -> float | None:
        """Return an estimate of the time left, None before anything is done."""
        done = self._work_done() - self._begun_with + sum(slot.share * _work(slot) for slot in self.supervisor.slots)
        left = rungs.cost(self.study.record.rungs, self.study.budget) - self._work_done()
        left -= sum(slot.share * _work(slot) for slot in self.supervisor.slots)
        if done <= 0 or self.supervisor.stopping:
            return None
        return max(0.0, left) * (time.monotonic() - self.supervisor.began) / done

    def _work_done(self) -> float:
        fidelities = self.study.record.rungs
        return sum(
            f * (len(rung.evaluated) + len(rung.failed))
            for f, rung in zip(fidelities, self.study.ledger.rungs, strict=True)
        )

    def _losses(self) -> tuple[list[int], np.ndarray[tuple[int, int], np.dtype[np.float64]]]:
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
            grid.add_row(Text(_slot_line(slot)))  # a plain text: designs have brackets, which are markup otherwise
        numbers, losses = self._losses()
        rows = np.flatnonzero(pareto.front(losses))
        rows = rows[np.argsort(losses[rows, -1])]
        shown = rows[np.unique(np.linspace(0, len(rows) - 1, _FRONT_ROWS).astype(int))] if len(rows) else rows
        names = self.study.record.objectives
        for row in shown:
            number = numbers[row]
            values = self.study.store.table.values[number] or ()
            text = "  ".join(f"{name} {value:.4g}" for name, value in zip(names, values, strict=True))
            grid.add_row(Text(f"  front: {text}  {self.study.store.table.attribute('design', number)}"))
        if self.supervisor.stopping:
            grid.add_row(_STOPPING)
        return grid

    def line(self) -> str:
        """Return the counts, or what a stop is about to do."""
        return _STOPPING if self.supervisor.stopping == 1 else self.counts()


@contextmanager
def shown(supervisor: Supervisor, console: Console) -> Iterator[None]:
    """Show a supervisor's progress while the block runs: live on a terminal, else a line now and then."""
    progress = Progress(supervisor)
    if console.is_terminal:
        from rich.live import Live

        with Live(progress.table(), console=console, auto_refresh=False, transient=True) as live:
            supervisor.report = _every(_TABLE_SECONDS, lambda: live.update(progress.table(), refresh=True))
            yield
    else:
        supervisor.report = _every(_LINE_SECONDS, lambda: console.print(progress.line(), soft_wrap=True))
        yield
    console.print(progress.counts(), soft_wrap=True)


def _every(seconds: float, show: Callable[[], None]) -> Callable[[Supervisor], None]:
    """Return a report that shows something every so many seconds, and at once when the search is told to stop."""
    shown_at, stopping = time.monotonic(), 0

    def report(supervisor: Supervisor) -> None:
        nonlocal shown_at, stopping
        if time.monotonic() - shown_at > seconds or supervisor.stopping != stopping:
            shown_at, stopping = time.monotonic(), supervisor.stopping
            show()

    return report


def _slot_line(slot: Slot) -> str:
    if slot.task is None:
        return f"  {slot.device}: idle"
    fidelity = "" if slot.task.fidelity == 1 else f" at fidelity {slot.task.fidelity:g}"
    return f"  {slot.device}: {slot.share:4.0%} of {slot.task.design}{fidelity}"


def _work(slot: Slot) -> float:
    return slot.task.fidelity if slot.task else 0.0


def _duration(seconds: float) -> str:
    seconds = int(seconds)
    hours, minutes = divmod(seconds // 60, 60)
    return (
        f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s" if minutes else f"{seconds} s"
    )

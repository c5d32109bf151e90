"""What a search says while it runs: a live table on a terminal, a line per trial elsewhere and in a log file."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from piip_explore.errors import InputError
from piip_explore.search.evaluators import EvaluationTask
from piip_explore.search.executors import Event
from piip_explore.search.forecast import Forecast
from piip_explore.search.progress import STOPPING, SearchProgress, doing
from piip_explore.search.supervisor import Slot, Supervisor
from piip_explore.search.worker import STARTING, Stopped
from piip_explore.terminal import printable

if TYPE_CHECKING:
    from rich.console import Console

_TABLE_SECONDS = 0.25
_QUIET_SECONDS = 60.0
"""A search off a terminal says at least so often that it is alive, while nothing ends."""
_PHASE_SECONDS = 3.0
"""A phase that lasts longer is said off a terminal."""

Say = Callable[[str], None]


class Lines:
    """Says how a search goes line by line: every trial that ends, phases that last, and a sign of life."""

    def __init__(self, progress: SearchProgress, say: Say) -> None:
        self._progress, self._say = progress, say
        self._said, self._stopping = time.monotonic(), 0
        self._phases: dict[int, str] = {}

    def ended(self, slot: Slot, task: EvaluationTask, event: Event) -> None:
        """Say what became of an evaluation, but of one that was told to stop."""
        if isinstance(event, Stopped):
            return
        self._tell(self._progress.trial_line(slot, task, event))

    def report(self, supervisor: Supervisor) -> None:
        """Say what else there is to say now."""
        if supervisor.stopping and not self._stopping:
            self._tell(STOPPING)
        self._stopping = supervisor.stopping
        now = time.monotonic()
        for slot in supervisor.slots:
            if slot.task is None or slot.trained is not None or slot.phase in (STARTING, "training", ""):
                continue
            if self._phases.get(slot.number) != slot.phase and now - slot.phase_since > _PHASE_SECONDS:
                self._phases[slot.number] = slot.phase
                self._tell(f"{slot.place}, worker {slot.number}: {slot.phase}")
        if now - self._said > _QUIET_SECONDS and not supervisor.stopping:
            running = ", ".join(doing(slot) for slot in supervisor.slots if slot.task is not None)
            self._tell(f"{self._progress.counts()}; {running or 'waiting for other searches'}")

    def _tell(self, line: str) -> None:
        self._said = time.monotonic()
        self._say(line)


@dataclass(frozen=True)
class Told:
    """Where and how much is told: live on a terminal, unless `by_lines`; nothing if `quiet`; `log` gets lines too."""

    console: Console
    quiet: bool = False
    by_lines: bool = False
    log: Path | None = None

    def line(self, text: str) -> None:
        """Print a line."""
        if not self.quiet:
            self.console.print(printable(text), soft_wrap=True, markup=False, highlight=False)


@contextmanager
def shown(supervisor: Supervisor, told: Told, forecast: Forecast | None = None) -> Iterator[None]:
    """Show a supervisor's progress while the block runs.

    Raises:
        InputError: the log cannot be written.
    """
    progress = SearchProgress(supervisor, forecast)
    live = told.console.is_terminal and not told.quiet and not told.by_lines
    with _log_file(told.log) as file:
        writers = [Lines(progress, _to_log(file))] if file is not None else []
        if not live:
            writers.append(Lines(progress, told.line))
        with _live(progress, told.console) if live else nullcontext() as show:

            def report(supervisor: Supervisor) -> None:
                for writer in writers:
                    writer.report(supervisor)
                if show is not None:
                    show()

            def ended(slot: Slot, task: EvaluationTask, event: Event) -> None:
                progress.took(slot, task, event)
                for writer in writers:
                    writer.ended(slot, task, event)

            supervisor.report, supervisor.ended = report, ended
            yield
    told.line(progress.counts())


@contextmanager
def _live(progress: SearchProgress, console: Console) -> Iterator[Callable[[], None]]:
    """Show the table; yield what draws it anew, now and then, and at once when the search is told to stop."""
    from rich.live import Live

    shown_at, stopping = 0.0, 0
    with Live(progress.table(), console=console, auto_refresh=False, transient=True) as live:

        def show() -> None:
            nonlocal shown_at, stopping
            now = progress.supervisor.stopping
            if time.monotonic() - shown_at > _TABLE_SECONDS or now != stopping:
                shown_at, stopping = time.monotonic(), now
                live.update(progress.table(), refresh=True)

        yield show


def check_log(path: Path | None) -> None:
    """Check that a log can be written.

    Raises:
        InputError: it cannot.
    """
    if path is not None:
        _opened(path).close()


def _opened(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the log '{path}': {error.strerror}") from None


@contextmanager
def _log_file(path: Path | None) -> Iterator[TextIO | None]:
    """Open the log to append to it; what the program warns of goes there as well."""
    if path is None:
        yield None
        return
    file = _opened(path)
    handler = logging.StreamHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("piip_explore")
    logger.addHandler(handler)
    try:
        with file:
            yield file
    finally:
        logger.removeHandler(handler)


def _to_log(file: TextIO) -> Say:
    def say(line: str) -> None:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        file.flush()

    return say

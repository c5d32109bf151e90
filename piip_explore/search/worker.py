"""The process that evaluates. It knows nothing of studies: tasks come in by a pipe, outcomes go back."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path

from piip_explore import parent_process, phases
from piip_explore.errors import InputError
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Outcome

STARTING = "starting"
"""The phase of an evaluation that has not said anything yet."""

STOP = "stop"
"""Sent to a worker: end the evaluation at the next step and exit."""

LEFT_TO_THE_SEARCH = (signal.SIGINT, signal.SIGTERM)
"""Signals that workers do nothing about; they are blocked when a worker starts."""

_REPORT_SECONDS = 0.5


@dataclass(frozen=True)
class Done:
    """An evaluation's outcome."""

    outcome: Outcome


@dataclass(frozen=True)
class Share:
    """The share of an evaluation that is done, 0 to 1, and what it is doing, with the share of that."""

    value: float
    phase: str = ""
    of_phase: float = 0.0


@dataclass(frozen=True)
class Failed:
    """An evaluation raised. `final`: it says that the design cannot be evaluated, another try cannot help."""

    reason: str
    final: bool = False


@dataclass(frozen=True)
class Stopped:
    """The evaluation was stopped as asked; its checkpoint is kept."""


class _StopAsked(BaseException):
    """Unwinds an evaluation; no evaluator catches it by accident."""


def main(pipe: Connection, log: Path, parent: int, threads: int) -> None:
    """Receive an evaluator, then evaluate tasks until told to stop, or until the supervisor is gone.

    `threads` is how many CPU threads this process may use.
    """
    _be_deaf()
    _redirect(log)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # torch reads it when an evaluator imports it
    parent_process.end_with(parent)
    try:
        evaluator: Evaluator = pipe.recv()
        while (task := pipe.recv()) != STOP:
            answer = _evaluate(pipe, evaluator, task)
            pipe.send(answer)
            if not (isinstance(answer, Done) or (isinstance(answer, Failed) and answer.final)):
                return
            _free_memory()
    except (EOFError, OSError):
        return  # the supervisor is gone


def _evaluate(pipe: Connection, evaluator: Evaluator, task: EvaluationTask) -> Done | Failed | Stopped:
    reporter = _Reporter(pipe)
    pipe.send(Share(0.0, STARTING))
    try:
        with phases.heard(reporter.phase):
            outcome = evaluator.evaluate(task, reporter.progress)
        if outcome.status != "ok":
            print(f"{task.design}: {outcome.status}: {outcome.message}", file=sys.stderr, flush=True)
        return Done(outcome)
    except _StopAsked:
        return Stopped()
    except InputError as error:
        print(f"{task.design}: infeasible: {error}", file=sys.stderr, flush=True)
        return Failed(f"infeasible: {error}", final=True)
    except Exception as error:
        traceback.print_exc()
        return Failed(f"{type(error).__name__}: {error}".strip().splitlines()[0])


class _Reporter:
    """Sends shares and phases to the supervisor, now and then, and ends the evaluation when told to."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe, self._now, self._sent, self._reported = pipe, Share(0.0, STARTING), STARTING, 0.0

    def progress(self, share: float) -> None:
        """Take note of the evaluation's share."""
        self._report(replace(self._now, value=share))

    def phase(self, name: str, share: float) -> None:
        """Take note of what is done, and of the share of that."""
        self._report(replace(self._now, phase=name, of_phase=share))

    def _report(self, now: Share) -> None:
        if self._pipe.poll() and self._pipe.recv() == STOP:
            raise _StopAsked
        self._now = now
        if now.phase != self._sent or time.monotonic() - self._reported > _REPORT_SECONDS:
            self._pipe.send(now)
            self._sent, self._reported = now.phase, time.monotonic()


def _be_deaf() -> None:
    """Leave signals to the search. A command that an evaluator starts is not deaf, as it would be to what we ignore."""
    for name in LEFT_TO_THE_SEARCH:
        signal.signal(name, lambda number, frame: None)
        signal.siginterrupt(name, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, LEFT_TO_THE_SEARCH)


def _redirect(log: Path) -> None:
    """Send what this process prints to its log, so that it does not run through the live table."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())


def _free_memory() -> None:
    """Give memory back between evaluations: the next design may need all of it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()

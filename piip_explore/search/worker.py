"""The process that evaluates. It knows nothing of studies: tasks come in by a pipe, outcomes go back."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from piip_explore.errors import InputError
from piip_explore.search.evaluators import Evaluator, Outcome, Task

STOP = "stop"
"""Sent to a worker: end the evaluation at the next step and exit."""


@dataclass(frozen=True)
class Done:
    """An evaluation's outcome."""

    outcome: Outcome


@dataclass(frozen=True)
class Share:
    """The share of an evaluation that is done, 0 to 1."""

    value: float


@dataclass(frozen=True)
class Failed:
    """An evaluation raised. `final`: the design is at fault, another try cannot help. `broken`: so is this process."""

    reason: str
    final: bool = False
    broken: bool = False


@dataclass(frozen=True)
class Stopped:
    """The evaluation was stopped as asked; its checkpoint is kept."""


class _StopAsked(BaseException):
    """Unwinds an evaluation; no evaluator catches it by accident."""


def main(pipe: Connection, log: Path, parent: int, threads: int) -> None:
    """Receive an evaluator, then evaluate tasks until told to stop, or until the supervisor is gone.

    `threads` is how many CPU threads this process may use.
    """
    _redirect(log)
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # torch reads it when an evaluator imports it
    threading.Thread(target=_exit_with_parent, args=(parent,), daemon=True).start()
    try:
        evaluator: Evaluator = pipe.recv()
        while (task := pipe.recv()) != STOP:
            if not _answer(pipe, evaluator, task):
                return
    except (EOFError, OSError):
        return  # the supervisor is gone


def _answer(pipe: Connection, evaluator: Evaluator, task: Task) -> bool:
    """Evaluate a task and send the answer; return whether this process can go on."""
    answer = _evaluate(pipe, evaluator, task)
    pipe.send(answer)
    _free_memory()
    return not (isinstance(answer, Stopped) or (isinstance(answer, Failed) and answer.broken))


def _evaluate(pipe: Connection, evaluator: Evaluator, task: Task) -> Done | Failed | Stopped:
    reported = 0.0

    def progress(share: float) -> None:
        nonlocal reported
        if pipe.poll() and pipe.recv() == STOP:
            raise _StopAsked
        if time.monotonic() - reported > 0.5:
            pipe.send(Share(share))
            reported = time.monotonic()

    try:
        return Done(evaluator.evaluate(task, progress))
    except _StopAsked:
        return Stopped()
    except InputError as error:
        return Failed(f"infeasible: {error}", final=True)
    except Exception as error:
        traceback.print_exc()
        text = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        return Failed(text, broken="CUDA" in text or isinstance(error, MemoryError))


def _redirect(log: Path) -> None:
    """Send what this process prints to its log, so that it does not run through the live table."""
    log.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(file, stream.fileno())


def _exit_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _free_memory() -> None:
    """Give memory back between evaluations: the next design may need all of it."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()

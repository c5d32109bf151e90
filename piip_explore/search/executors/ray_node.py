"""What Ray runs on a node for a worker: an actor that has a worker process of its own there."""

from __future__ import annotations

import os
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from piip_explore import extras
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Place
from piip_explore.search.executors import Event
from piip_explore.search.executors.local import LocalExecutor

ANSWER_SECONDS = 1.0
"""How long an actor waits for news before it answers that there is none; it hears nothing else meanwhile."""


class NodeWorker:
    """The actor: a worker process of its own on the node where Ray has placed it."""

    def __init__(self, evaluator: Evaluator, number: int, logs: Path, kind: str, folder: Path) -> None:
        with suppress(OSError):  # what an evaluator names may be relative to the folder where the search was started
            os.chdir(folder)
        vars(sys.modules["__main__"])["__file__"] = None  # a process that we spawn would import Ray's main module first
        self._place = Place(_device(kind), socket.gethostname())
        threads = int(os.environ.get("OMP_NUM_THREADS", "1"))  # Ray sets it to the worker's CPUs
        self._number, self._local = number, LocalExecutor(evaluator, {number: self._place}, logs, threads)

    def place(self) -> tuple[Place, str]:
        """Return the host, with the device as PyTorch names it there, and Ray's name of the node."""
        return self._place, str(ray_module().get_runtime_context().get_node_id())

    def begin(self, task: EvaluationTask) -> list[Event]:
        """Begin an evaluation; return the first news."""
        self._local.submit(self._number, task)
        return self.news(ANSWER_SECONDS)

    def news(self, seconds: float) -> list[Event]:
        """Wait up to so many seconds for news of the evaluation."""
        return [event for _, event in self._local.events(seconds)]

    def stop(self) -> None:
        """Ask the evaluation to end at its next step."""
        self._local.stop()

    def kill(self) -> None:
        """End the evaluation at once."""
        self._local.kill(self._number)

    def close(self) -> None:
        """Leave no process behind."""
        self._local.close()


def _device(kind: str) -> str:
    """Return the device that Ray has given this actor, by its number among those that the process sees."""
    if kind == "cpu":
        return kind
    given, visible = str(ray_module().get_gpu_ids()[0]), os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"cuda:{visible.split(',').index(given) if visible else given}"


def ray_module() -> Any:
    """Return Ray, which is an extra.

    Raises:
        InputError: it is not installed.
    """
    extras.need("--executor ray", "ray")
    import ray

    return ray

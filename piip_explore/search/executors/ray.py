"""Worker processes on the nodes of a Ray cluster: Ray places them, and says when a node is lost.

An actor holds the GPU (or a share of one) and the CPUs of one worker, and runs one process as `local` does: a design
that crashes, hangs or runs out of memory ends that process and not the actor. The search asks the actors for news, and
it alone writes the study. When it ends, Ray ends the actors.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from piip_explore.errors import InputError
from piip_explore.search.evaluators import EvaluationTask, Evaluator, Place
from piip_explore.search.executors import Died, Event
from piip_explore.search.executors.ray_node import ANSWER_SECONDS, NodeWorker, ray_module
from piip_explore.search.worker import Share

_COUNT_SECONDS = 5.0
_END_SECONDS = 15.0
_SAY_SECONDS = 30.0
_MAX_FAILED_STARTS = 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayEngine:
    """A Ray cluster: the one at `address` ("auto" or HOST:PORT), the one that Ray finds, or one of this machine alone.

    `workers` is how many to ask for, which is what an autoscaler goes by; None asks for as many as the nodes have room
    for, as nodes come and go. Each takes `gpus` GPUs, or a share of one (None: one, if any node has a GPU), and `cpus`
    CPUs.

    Raises:
        InputError: Ray is not installed, more than one GPU per worker, or there is no such cluster.
    """

    address: str | None = None
    workers: int | None = None
    gpus: float | None = None
    cpus: float = 1.0

    def __post_init__(self) -> None:
        ray = ray_module()
        if self.gpus is not None and not 0 <= self.gpus <= 1:
            raise InputError(f"{self.gpus:g} GPUs per worker: an evaluation uses one GPU or a share of one")
        if not ray.is_initialized():
            try:
                ray.init(self.address, log_to_driver=False, logging_level=logging.WARNING)
            except Exception as error:  # Ray raises plain ones, too
                where = "Ray" if self.address is None else f"the Ray cluster '{self.address}'"
                reason = str(error).strip().partition("\n")[0]
                raise InputError(f"cannot reach {where}: {reason}: start one with 'ray start --head'") from None
        if not self.workers and not self.room():
            raise InputError(
                f"no node of the Ray cluster has room for a worker ({self}): ask for less with --worker-gpus and "
                "--worker-cpus, or give --workers and wait for nodes to join"
            )

    @property
    def device(self) -> str:
        """What evaluations run on."""
        return "cuda" if self._gpus else "cpu"

    def __str__(self) -> str:
        count = "workers" if self.workers is None else f"{self.workers} worker{'s' * (self.workers > 1)}"
        gpus = f"{self._gpus:g} GPU and " if self._gpus else ""
        return f"{count} with {gpus}{self.cpus:g} CPU each on Ray at {ray_module().get_runtime_context().gcs_address}"

    @property
    def resources(self) -> dict[str, float]:
        """What a worker takes of a node, in Ray's words."""
        return {"num_cpus": self.cpus, "num_gpus": self._gpus}

    def nodes(self) -> dict[str, dict[str, float]]:
        """Return the resources of the nodes that are there."""
        return {node["NodeID"]: node["Resources"] for node in ray_module().nodes() if node["Alive"]}

    def room(self) -> int:
        """Return how many workers the nodes that are there can hold."""
        return sum(
            _room(node.get("CPU", 0), self.cpus, node.get("GPU", 0), self._gpus) for node in self.nodes().values()
        )

    @cached_property
    def _gpus(self) -> float:
        if self.gpus is not None:
            return self.gpus
        return float(any(node.get("GPU") for node in self.nodes().values()))

    def start(self, evaluator: Evaluator, logs: Path) -> RayExecutor:
        """Return the executor of the actors; a worker's log is on the node that it runs on."""
        return RayExecutor(self, evaluator, logs)


def _room(cpus: float, cpu_share: float, gpus: float, gpu_share: float) -> int:
    rooms = [math.floor(cpus / cpu_share + 1e-9)] if cpu_share else []
    rooms += [math.floor(gpus) * math.floor(1 / gpu_share + 1e-9)] if gpu_share else []
    return min(rooms, default=0)


@dataclass
class _Actor:
    """An actor that Ray was asked for. `answer` is what we wait for from it; `place` is None until it has one."""

    handle: Any
    answer: Any
    place: Place | None = None
    node: str = ""


class RayExecutor:
    """Workers as actors of the cluster that this process is connected to."""

    def __init__(self, engine: RayEngine, evaluator: Evaluator, logs: Path) -> None:
        self._ray, self._engine, self._logs = ray_module(), engine, logs
        self._evaluator = self._ray.put(evaluator)
        all_seen = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}  # a GPU has one number, here and in commands
        environment = {"env_vars": all_seen} if engine.device == "cuda" else None
        self._class = self._ray.remote(**engine.resources, max_restarts=0, runtime_env=environment)(NodeWorker)
        self._actors: dict[int, _Actor] = {}
        self._numbers = count()
        self._counted = -_COUNT_SECONDS
        self._idle_since: float | None = time.monotonic()
        self._failed_starts = 0

    @property
    def workers(self) -> Mapping[int, Place]:
        """The actors that have a place."""
        self._match_room()
        return {number: actor.place for number, actor in self._actors.items() if actor.place is not None}

    def submit(self, number: int, task: EvaluationTask) -> None:
        """Have an actor begin an evaluation."""
        actor = self._actors[number]
        actor.answer = actor.handle.begin.remote(task)

    def events(self, seconds: float) -> Iterator[tuple[int, Event]]:
        """Yield what actors have to say, and which of them are lost; a new actor says where it is."""
        asked = {actor.answer: number for number, actor in self._actors.items() if actor.answer is not None}
        if not asked:
            time.sleep(min(seconds, 0.02))
            return
        answered, _ = self._ray.wait(list(asked), timeout=seconds)
        if answered:  # and who else has answered
            answered, _ = self._ray.wait(list(asked), num_returns=len(asked), timeout=0)
        for answer in answered:
            for event in self._received(asked[answer]):
                yield asked[answer], event

    def _received(self, number: int) -> list[Event]:
        actor = self._actors[number]
        answer, actor.answer = actor.answer, None
        if actor.place is None:
            self._open(number, answer)
            return []
        try:
            events: list[Event] = self._ray.get(answer)
        except self._ray.exceptions.RayError as error:
            self._drop(number)
            return [_loss(self._ray, actor.place, error)]
        if all(isinstance(event, Share) for event in events):
            actor.answer = actor.handle.news.remote(ANSWER_SECONDS)
        return events

    def _open(self, number: int, answer: Any) -> None:
        """Take note of where a new actor is.

        Raises:
            InputError: no actor starts.
        """
        try:
            self._actors[number].place, self._actors[number].node = self._ray.get(answer)
            self._failed_starts = 0
        except self._ray.exceptions.RayError as error:
            self._drop(number)
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                reason = str(error).strip().splitlines()[-1]
                raise InputError(f"no worker starts on Ray: {reason} (every node needs this piip-explore)") from None

    def _match_room(self) -> None:
        """Ask for as many actors as there should be, every few seconds; drop those that have no place or node."""
        if time.monotonic() - self._counted < _COUNT_SECONDS:
            return
        self._counted, nodes = time.monotonic(), self._engine.nodes()
        for number, actor in list(self._actors.items()):
            if actor.place is not None and actor.answer is None and actor.node not in nodes:
                self._drop(number)
        wanted = self._engine.workers or self._engine.room()
        waiting = [number for number, actor in self._actors.items() if actor.place is None]
        for number in waiting[::-1][: max(0, len(self._actors) - wanted)]:
            self._drop(number)
        while len(self._actors) < wanted:
            number = next(self._numbers)
            handle = self._class.options(name=f"piip-explore {os.getpid()} worker {number}").remote(
                self._evaluator, number, self._logs, self._engine.device, Path.cwd()
            )
            self._actors[number] = _Actor(handle, handle.place.remote())
        self._say_if_idle()

    def _say_if_idle(self) -> None:
        """Say once that Ray has no room for any worker, after a while."""
        if any(actor.place is not None for actor in self._actors.values()):
            self._idle_since = None
        elif self._idle_since is not None and time.monotonic() - self._idle_since > _SAY_SECONDS:
            _log.warning("Ray has had no room for a worker for %.0f s (%s): waiting", _SAY_SECONDS, self._engine)
            self._idle_since = None

    def _drop(self, number: int) -> None:
        actor = self._actors.pop(number)
        with suppress(self._ray.exceptions.RayError):
            self._ray.kill(actor.handle)

    def stop(self) -> None:
        """Ask all workers to stop."""
        for actor in self._actors.values():
            actor.handle.stop.remote()

    def kill(self, number: int) -> None:
        """Kill an actor's process; the actor stays."""
        actor = self._actors[number]
        actor.answer = None
        actor.handle.kill.remote()

    def close(self) -> None:
        """End the actors and what they run, on all nodes."""
        ends = [actor.handle.close.remote() for actor in self._actors.values() if actor.place is not None]
        if ends:
            self._ray.wait(ends, num_returns=len(ends), timeout=_END_SECONDS)
        for number in list(self._actors):
            self._drop(number)


def _loss(ray: Any, place: Place, error: Exception) -> Died:
    """Say how an actor was lost: of its own evaluation only where Ray says that memory ran out."""
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return Died(f"Ray ended the worker on {place.host}: the node is out of memory")
    if isinstance(error, ray.exceptions.RayTaskError):
        return Died(f"the worker on {place.host} failed: {str(error).strip().splitlines()[-1]}")
    return Died(f"the worker on {place.host} was lost, or its node", outside=True)

"""One process per device: started here, or by torchrun and its like, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

from piip_explore import parent_process
from piip_explore.device_name import resolve
from piip_explore.errors import InputError

_PARENT = "PIIP_EXPLORE_LAUNCHER"
_STOPS = (signal.SIGINT, signal.SIGTERM)
_GRACE_SECONDS = 30.0


def is_worker() -> bool:
    """Return whether this process is one of several that a launcher has started."""
    return "LOCAL_RANK" in os.environ


def is_first() -> bool:
    """Return whether this process speaks for all of them."""
    return int(os.environ.get("RANK", 0)) == 0


def count(device: str, devices: int | None) -> int:
    """Return how many processes to start: as many as asked for, else one per GPU that `device` means.

    Raises:
        InputError: no such device, or fewer than asked for.
    """
    where = resolve(device)
    if where.type == "cpu":
        return devices or 1
    if where.index is not None:
        if (devices or 1) > 1:
            raise InputError(f"--devices {devices}: '{where}' is one device, 'cuda' means all")
        return 1
    import torch

    gpus = torch.cuda.device_count()
    if devices is not None and devices > gpus:
        raise InputError(f"--devices {devices}: this machine has {gpus} CUDA devices")
    return devices or gpus


def run(arguments: Sequence[str], processes: int) -> int:
    """Run `piip-explore` with `arguments` once per device; return 0, or the status of the first that failed.

    When one fails, the others are ended. An interrupt or SIGTERM is passed on to the first, which saves and ends.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    threads = os.environ.get("OMP_NUM_THREADS") or max(1, (os.cpu_count() or 1) // processes)
    shared |= {_PARENT: os.getpid(), "OMP_NUM_THREADS": threads}
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "piip_explore", *arguments],
            env=os.environ | {name: str(value) for name, value in (shared | {"RANK": n, "LOCAL_RANK": n}).items()},
        )
        for n in range(processes)
    ]
    before = {number: signal.signal(number, lambda *_: workers[0].terminate()) for number in _STOPS}
    try:
        return _first_failure(workers)
    finally:
        _end(workers)
        for number, handler in before.items():
            signal.signal(number, handler)


def _first_failure(workers: Sequence[subprocess.Popen[bytes]]) -> int:
    while True:
        statuses = [worker.poll() for worker in workers]
        failed = [status for status in statuses if status]
        if failed or statuses[0] == 0:
            return abs(failed[0]) if failed else 0
        time.sleep(0.2)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    began = time.monotonic()
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.wait(0 if any(w.returncode for w in workers) else max(0, _GRACE_SECONDS + began - time.monotonic()))
        if worker.poll() is None:
            worker.kill()
            worker.wait()


def end_with_launcher() -> None:
    """End this process when the one that started it is gone, whatever ended that."""
    parent_process.end_with(int(os.environ.get(_PARENT, os.getppid())))


def wait_to_be_ended() -> None:
    """Give the launcher the time to end this process: another may have been the first to fail, and says why."""
    time.sleep(20 if is_first() else 5)

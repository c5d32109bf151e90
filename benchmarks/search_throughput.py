"""How fast a study is beside its evaluations: trials per second by executor, with evaluations that look scores up.

    python -m benchmarks.search_throughput [--workers 4] [--trials 400] [--storage FILE_OR_URL]

One supervisor proposes, claims and records for all workers; the clock starts when each has done some evaluations. The
sampler is `random`: a better one costs its own time, which real evaluations hide. Executors take turns in one run on
one machine, with evaluations that take no time, where all time is ours, and with such of a second, far shorter than any
real one. Nothing large is imported here: worker processes of `local` import it too, and tidy up after each evaluation.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from piip_explore.search.executors import Engine
from piip_explore.search.executors.local import LocalEngine
from piip_explore.search.executors.ray import RayEngine
from piip_explore.search.launch import Request
from piip_explore.search.supervisor import Supervisor
from piip_explore.testing.synthetic import evaluator
from tests.search.replayed import driven, replayed_pool, start

ENGINES: dict[str, Callable[[int], Engine]] = {
    "local": lambda workers: LocalEngine(["cpu"] * workers),
    "ray": lambda workers: RayEngine("local", workers, cpus=1 / workers),
}
WARM = 5
"""Evaluations per worker before the clock starts."""


def measure(storage: str, engine: Engine, workers: int, trials: int, delay: float) -> float:
    """Return the trials per second of a new study with evaluations of `delay` seconds."""
    pool = replayed_pool()
    scores = evaluator(pool, delay=delay)
    warm = WARM * workers
    launch = start(pool, scores, storage, "throughput", Request(trials=trials + warm, sampler="random"))
    moments: list[tuple[int, float]] = []

    def note(supervisor: Supervisor) -> None:
        moments.append((len(supervisor.study.ledger.rungs[0].evaluated), time.perf_counter()))

    supervisor = driven(launch.study, scores, engine)
    supervisor.report = note
    supervisor.run()
    began = next(moment for moment in moments if moment[0] >= warm)
    end = next(moment for moment in moments if moment[0] == moments[-1][0])  # before the processes ended
    return (end[0] - began[0]) / (end[1] - began[1])


def main() -> None:
    """Measure every executor and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--storage")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search_throughput.csv")
    asked = parser.parse_args()
    rows: list[dict[str, object]] = []
    for delay, trials in ((0.0, asked.trials), (1.0, asked.trials // 5)):
        beside_local = 0.0
        for name, engine in ENGINES.items():
            with tempfile.TemporaryDirectory() as folder:
                storage = asked.storage or f"{folder}/throughput.journal"
                rate = measure(storage, engine(asked.workers), asked.workers, trials, delay)
            beside_local = beside_local or rate
            row = {"executor": name, "workers": asked.workers, "evaluation_seconds": delay, "trials": trials}
            row |= {"trials_per_second": round(rate, 2), "times_local": round(rate / beside_local, 2)}
            rows.append(row | {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)})
            print(rows[-1], flush=True)
    with asked.out.open("w") as file:
        table = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


if __name__ == "__main__":
    main()

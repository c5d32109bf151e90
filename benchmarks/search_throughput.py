"""How fast a study is beside its evaluations: trials per second with workers that only look scores up.

    python -m benchmarks.search_throughput [--workers 8] [--trials 800] [--storage FILE_OR_URL]

One supervisor proposes, claims and records for all workers; processes are started before the clock. The sampler is
`random`: a better one costs its own time, which real evaluations hide.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

from piip_explore.search.launch import Request
from piip_explore.search.supervisor import Supervisor
from piip_explore.testing.synthetic import evaluator
from tests.search.replayed import replayed_pool, start, supervised


def measure(storage: str, workers: int, trials: int) -> dict[str, float]:
    pool = replayed_pool()
    scores = evaluator(pool)
    launch = start(pool, scores, storage, "throughput", Request(trials=trials + 10 * workers, sampler="random"))
    moments: list[tuple[int, float]] = []

    def note(supervisor: Supervisor) -> None:
        moments.append((len(supervisor.study.ledger.rungs[0].evaluated), time.perf_counter()))

    supervisor = supervised(launch.study, scores, ["cpu"] * workers)
    supervisor.report = note
    supervisor.run()
    began = next(moment for moment in moments if moment[0] >= 10 * workers)
    end = moments[-1]
    return {"trials": end[0] - began[0], "seconds": end[1] - began[1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--trials", type=int, default=800)
    parser.add_argument("--storage")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search_throughput.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = arguments.storage or f"{folder}/throughput.journal"
        found = measure(storage, arguments.workers, arguments.trials)
    rate = found["trials"] / found["seconds"]
    result = {
        "storage": "journal" if "://" not in storage else storage.partition(":")[0],
        "workers": arguments.workers,
        "trials": found["trials"],
        "trials_per_second": round(rate, 1),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "python": platform.python_version(),
    }
    print(json.dumps(result, indent=1))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

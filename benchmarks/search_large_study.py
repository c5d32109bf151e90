"""How long a study of 100,000 trials takes to open, to resume, and to print its front.

    python -m benchmarks.search_large_study [--trials 100000] [--storage FILE_OR_URL] [--optuna]

The study is written as `piip-explore search` writes it; then each step runs in a process of its own. `--optuna` also
times what Optuna's objects take for the same file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SPACE = """
name: large
branches:
  - {models: [vit_tiny, vit_small, vit_base], resolutions: {from: 672, to: 1568, step: 112}}
  - {models: [vit_small, vit_base], resolutions: {from: 336, to: 896, step: 112}}
  - {models: [vit_base, vit_large], resolutions: {from: 224, to: 784, step: 112}}
interactions: [2, 3, 4, 6, 12]
direction: [both, up, down]
merge: [conv, linear]
"""
NAME = "large"

STEPS = {
    "print the front": "from piip_explore.cli import main; main(['pareto', {name!r}, '--storage', {storage!r}])",
    "open, resume and claim": """
from benchmarks.search_large_study import resume
resume({storage!r}, {trials})
""",
    "optuna: load_study and best_trials": """
import optuna
optuna.logging.set_verbosity(40)
storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend({storage!r}))
print(len(optuna.load_study(study_name={name!r}, storage=storage).best_trials))
""",
}


def large_pool():
    from tests.search.replayed import replayed_pool

    return replayed_pool(SPACE)


def write(storage: str, trials: int) -> None:
    """Write a finished study, many trials at a time."""
    from piip_explore.search.landscape import synthetic_scores
    from piip_explore.search.launch import Request
    from piip_explore.search.storage import COMPLETE, RUNNING
    from tests.search.replayed import start

    pool = large_pool()
    scores = synthetic_scores(pool)
    study = start(pool, _Table(), storage, NAME, Request(trials=trials, sampler="random")).study
    store = study.store
    rows = np.random.default_rng(0).permutation(len(pool))[:trials]
    append, waiting = store._append, []
    store._append = lambda *operations: waiting.extend(operations)
    refresh, store._sync = store._sync, lambda: None
    for number, row in enumerate(rows.tolist()):
        store._replay.created_by[store._writer] = number
        store._replay.trial_ids.append(number)
        store._replay.table.state.append(RUNNING)
        trial = study._new_trial(row, 0, {"worker": study._worker("cpu")})
        store.create(trial, RUNNING)
        values = [float(scores[row]), float(pool.costs["gflops_published"][row])]
        conditions = {"device": "NVIDIA H100", "code_version": "914858a5bf1c", "kernel_backend": "triton"}
        found = {"standard_error": 0.2, "seconds": 61.5, "peak_memory": 8_123_456_789, "conditions": conditions}
        store.finish(number, COMPLETE, values, found, {})
        if len(waiting) > 5000 or number == len(rows) - 1:
            append(*waiting)
            waiting.clear()
    store._sync = refresh


class _Table:
    def describe(self):
        return {"kind": "replay"}

    def conditions(self, device):
        return {"code_version": "replay", "kernel_backend": "none"}


def resume(storage: str, trials: int) -> None:
    """What a search does before its first evaluation."""
    from piip_explore.search.launch import Request
    from tests.search.replayed import start

    pool = large_pool()
    study = start(pool, _Table(), storage, NAME, Request(trials=trials + 10)).study
    print(study.next("cpu").design)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--storage")
    parser.add_argument("--optuna", action="store_true")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search_large_study.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        storage = arguments.storage or f"{folder}/large.journal"
        if not Path(storage).exists():
            write(storage, arguments.trials)
        result = {
            "trials": arguments.trials,
            "megabytes": round(Path(storage).stat().st_size / 1e6, 1),
            "cores": os.cpu_count(),
            "load_before": os.getloadavg()[0],
            "python": platform.python_version(),
            "seconds": {},
            "peak_megabytes": {},
        }
        for step, code in STEPS.items():
            if step.startswith("optuna") and not arguments.optuna:
                continue
            code = code.format(storage=storage, name=NAME, trials=arguments.trials)
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
            result["seconds"][step] = round(time.perf_counter() - began, 2)
            result["peak_megabytes"][step] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            print(f"{step}: {result['seconds'][step]} s, peak so far {result['peak_megabytes'][step]} MB", flush=True)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

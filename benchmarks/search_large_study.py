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
from functools import cache
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
    """Write the lines of a finished study at once: trial by trial takes as long as a search's writes do."""
    from piip_explore.search.books import new_trial
    from piip_explore.search.evaluators import Place
    from piip_explore.search.launch import Request
    from piip_explore.search.storage import COMPLETE, RESULT, RUNNING
    from piip_explore.testing.synthetic import synthetic_scores
    from tests.search.replayed import start

    pool = large_pool()
    scores = synthetic_scores(pool)
    study = start(pool, _Table(), storage, NAME, Request(trials=trials, sampler="random")).study
    rows = np.random.default_rng(0).permutation(len(pool))[:trials]
    conditions = {"device": "NVIDIA H100", "code_version": "914858a5bf1c", "kernel_backend": "triton"}
    found = {"standard_error": 0.2, "seconds": 61.5, "peak_memory": 8_123_456_789, "conditions": conditions}
    moment = "2026-01-01T12:00:00.000000+00:00"
    with open(storage, "a") as file:
        for number, row in enumerate(rows.tolist()):
            trial = new_trial(study.record, pool, row, 0, {"worker": study.books.worker(Place("cpu"))})
            values = [float(scores[row]), float(pool.costs["gflops_published"][row])]
            created = {
                "op_code": 4, "study_id": 0, "datetime_start": moment, "state": RUNNING, "value": None, "values": None,
                "distributions": {name: _distribution(tuple(choices)) for name, choices in trial.choices.items()},
                "params": {name: list(trial.choices[name]).index(value) for name, value in trial.params.items()},
                "user_attrs": trial.attributes,
                "system_attrs": {f"constraints:{name}": value for name, value in trial.constraints.items()},
                "intermediate_values": {},
            }  # fmt: skip
            result = {"op_code": 8, "trial_id": number, "user_attr": {RESULT: found}}
            ended = {"op_code": 6, "trial_id": number, "state": COMPLETE, "values": values, "datetime_complete": moment}
            for line in (created, result, ended):
                file.write(json.dumps({**line, "worker_id": "w"}, separators=(",", ":")) + "\n")


@cache
def _distribution(choices: tuple) -> str:
    return json.dumps({"name": "CategoricalDistribution", "attributes": {"choices": choices}})


class _Table:
    def describe(self):
        return {"kind": "replay"}

    def conditions(self, device):
        return {"code_version": "replay", "kernel_backend": "none"}


def resume(storage: str, trials: int) -> None:
    """What a search does before its first evaluation."""
    from piip_explore.search.evaluators import Place
    from piip_explore.search.launch import Request
    from tests.search.replayed import start

    pool = large_pool()
    study = start(pool, _Table(), storage, NAME, Request(trials=trials + 10)).study
    print(study.next(Place("cpu")).design)


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

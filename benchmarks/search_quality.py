"""How much of the true front each sampler finds with 100 evaluations of 2,688 replayed designs.

    python -m benchmarks.search_quality [--seeds 10] [--out benchmarks/results/search_quality.csv]

Every search runs through `Study`, as `piip-explore search` does, on a landscape of its own per seed. Hypervolume is
measured from the worst score and the largest cost of the space, over full-fidelity results alone, by the designs'
true scores; "cost" is training in full runs. `plain tpe` is what a plain Optuna script does: its default sampler, with
duplicates evaluated again and counted.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import optuna
import pandas as pd

from piip_explore.design import Design
from piip_explore.search import pareto
from piip_explore.search.columns import read
from piip_explore.search.evaluators import Place, ReplayEvaluator
from piip_explore.search.launch import Request
from piip_explore.search.pool import Pool
from piip_explore.testing.synthetic import evaluator, synthetic_scores
from tests.search.replayed import replayed_pool, start

BUDGET = 100
RUNGS = {"gp, rungs 1/9,1/3,1": (1 / 9, 1 / 3, 1.0), "gp, rungs 1/9,1": (1 / 9, 1.0), "gp, rungs 1/6,1": (1 / 6, 1.0)}


def losses_of(pool: Pool, seed: int) -> np.ndarray:
    return np.stack([-synthetic_scores(pool, seed), pool.costs["gflops_published"]], axis=1)


def search(
    pool: Pool, seed: int, sampler: str, rungs: tuple[float, ...], scores: ReplayEvaluator
) -> tuple[list[int], float, int]:
    """Run a study without processes; return the rows that were run in full, the cost in full runs, and duplicates."""
    with tempfile.TemporaryDirectory() as folder:
        storage = f"{folder}/s.journal"
        request = Request(trials=BUDGET, sampler=sampler, rungs=rungs, seed=seed)
        study = start(pool, scores, storage, "s", request).study
        while (task := study.next(Place("cpu"))) is not None:
            study.complete(task, scores.evaluate(task, lambda share: None))
        assert study.done
        columns = read(storage, "s")
    repeated = int(pd.DataFrame({"id": columns.attributes["id"], "fidelity": columns.fidelity}).duplicated().sum())
    designs = map(Design.parse, columns.attributes["design"][columns.full])
    return [pool.row_of(design) for design in designs], float(columns.fidelity.sum()), repeated


def plain_tpe(pool: Pool, seed: int, losses: np.ndarray) -> tuple[list[int], float, int]:
    """Optuna's defaults on the same axes. Combinations that are not designs are told the worst values, at no cost."""
    study = optuna.create_study(directions=["minimize"] * 2, sampler=optuna.samplers.TPESampler(seed=seed))
    rows: list[int] = []
    while len(rows) < BUDGET:
        trial = study.ask()
        codes = [axis.choices.index(trial.suggest_categorical(axis.name, axis.choices)) for axis in pool.axes]
        row = pool.find(codes)
        if row is None:
            study.tell(trial, losses.max(axis=0).tolist())
            continue
        rows.append(row)
        study.tell(trial, losses[row].tolist())
    return rows, float(BUDGET), BUDGET - len(set(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "search_quality.csv")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    optuna.logging.set_verbosity(logging.ERROR)
    pool = replayed_pool()
    records: list[tuple] = []
    fields = ["sampler", "seed", "share", "cost", "full_runs", "duplicates", "seconds"]
    names = ["auto", *RUNGS, "random", "plain tpe", "tpe", "nsga2", "nsga3"]
    for name in arguments.only or names:
        for seed in range(arguments.seeds):
            losses = losses_of(pool, seed)
            bound = losses.max(axis=0)
            began = time.perf_counter()
            if name == "plain tpe":
                rows, cost, repeated = plain_tpe(pool, seed, losses)
            else:
                rungs = RUNGS.get(name, (1.0,))
                sampler = "gp" if name in RUNGS else name
                scores = evaluator(pool, seed, gap=2.0, noise=0.1 if len(rungs) > 1 else 0.0)
                rows, cost, repeated = search(pool, seed, sampler, rungs, scores)
            share = pareto.hypervolume(losses[rows], bound) / pareto.hypervolume(losses, bound)
            seconds = time.perf_counter() - began
            records.append((name, seed, share, cost, len(rows), repeated, seconds))
        table = pd.DataFrame(records, columns=fields)
        mine = table[table["sampler"] == name]
        print(
            f"{name:22} {mine['share'].mean():.2%} ± {mine['share'].sem():.2%} of the true hypervolume, "
            f"cost {mine['cost'].mean():.1f}, {mine['duplicates'].mean():.1f} duplicates, "
            f"{mine['seconds'].mean():.1f} s",
            flush=True,
        )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out, index=False)


if __name__ == "__main__":
    main()

"""Twenty candidate runs of the demo space on two CPU cores: how long they take, and how seeds agree.

    python benchmarks/proxy_demo.py              # 20 designs, one seed
    python benchmarks/proxy_demo.py --seeds 2    # the same designs twice: seed-to-seed tau

Two processes of one thread each, as `piip-explore search` starts them. Scenes are rendered first, and timed.
Writes benchmarks/results/proxy-demo.csv.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before any process loads torch

import click
import numpy as np
import pandas as pd
import torch

from piip_explore import Design, SearchSpace, cost, proxy
from piip_explore.proxy.validity import statistics

ROOT = Path(__file__).parent.parent


def run(text: str, seed: int) -> dict:
    cpu = time.process_time()
    score = proxy.evaluate(Design.parse(text), proxy.preset("demo"), seed=seed, device="cpu")
    return {
        "design": text,
        "seed": seed,
        "mIoU": score.value,
        "status": score.status,
        "training seconds": score.seconds,
        "CPU seconds": time.process_time() - cpu,
        "preset_hash": score.conditions.preset_hash,
        "code_version": score.conditions.code_version,
        "torch": score.conditions.torch,
    }


@click.command()
@click.option("--designs", default=20, show_default=True)
@click.option("--seeds", default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "results" / "proxy-demo.csv")
def main(designs: int, seeds: int, out: Path) -> None:
    space = SearchSpace.load(ROOT / "search_spaces" / "demo.yaml")
    chosen = space.designs(np.random.default_rng(0).choice(space.size, designs, replace=False))
    preset, began = proxy.preset("demo"), time.perf_counter()
    for split, count in (("train", preset.train_images), ("val", preset.val_images)):
        preset.data.load(split, count, preset.size, torch.device("cpu"))
    rendered, began = time.perf_counter() - began, time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        jobs = [pool.submit(run, str(design), seed) for seed in range(seeds) for design in chosen]
        rows = [job.result() for job in jobs]
    wall = time.perf_counter() - began
    frame = pd.DataFrame(rows)
    macs = {str(design): cost.count(design).macs for design in chosen}
    frame["GFLOPs"] = frame["design"].map(macs) / 1e9
    frame.to_csv(out, index=False)
    values = frame.pivot(index="design", columns="seed", values="mIoU")
    load = os.getloadavg()[0]
    click.echo(f"scenes {rendered:.0f} s; {len(rows)} runs in {wall:.0f} s of wall time (load {load:.1f}), ", nl=False)
    click.echo(f"{frame['CPU seconds'].sum():.0f} s of CPU; mIoU {values.min().min():.1f} to {values.max().max():.1f}")
    click.echo(
        f"tau with FLOPs {statistics.tau(values.mean(axis=1).to_numpy(), values.index.map(macs).to_numpy(float)):.2f}"
    )
    if seeds > 1:
        click.echo(f"seed to seed tau {statistics.seed_to_seed_tau(values.to_numpy()):.2f}")


if __name__ == "__main__":
    main()

"""Predicted against counted memory of training steps: how far `training_gb` is off.

    python -m benchmarks.memory [--designs 40] [--batch 2] [--seed 0]

Random designs of all families are trained for two steps of AdamW in fp32, on fake CPU tensors, which have sizes and no
values, while PyTorch's memory tracker counts every allocation. The second step holds what all later ones do. The
tracker sees what a GPU's allocator would be asked for, not what it leaves unused. Appends to results/memory.csv.
"""

from __future__ import annotations

import argparse
import random
import statistics

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker

from benchmarks.records import RESULTS, Table
from piip_explore import Design
from piip_explore.cost import training_memory
from piip_explore.models import build

MODELS = ("vit_tiny", "vit_small", "vit_base", "convnext_tiny", "clip_base", "beit_base")


def random_design(rng: random.Random) -> Design:
    """Return one to three branches of distinct resolutions, with interactions, merge and attention drawn."""
    branches = rng.randint(1, 3)
    sides = rng.sample(range(224, 1121, 112), branches)
    text = " ".join(f"{rng.choice(MODELS)}@{side}" for side in sides)
    if branches > 1:
        text += f"; interactions={rng.choice([0, 2, 4, 12])}; merge={rng.choice(['linear', 'conv'])}"
        text += f"; attention={rng.choice(['deformable', 'deformable', 'regular'])}"
    return Design.parse(text)


def counted(design: Design, batch: int) -> float:
    """Return the GB at the peak of the second of two training steps."""
    with torch.device("meta"):
        network = build(design).train()
    with FakeTensorMode(allow_non_fake_inputs=True):
        network.to_empty(device="cpu")
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        tracker = MemTracker()
        tracker.track_external(network, optimizer)
        with tracker:
            for _ in range(2):
                tracker.reset_mod_stats()
                images = torch.zeros(batch, 3, design.resolution, design.resolution)
                output = network(images)
                maps: list[Tensor] = output if isinstance(output, list) else [output]
                torch.stack([x.mean() for x in maps]).sum().backward()
                optimizer.step()
                del output, maps, images
                optimizer.zero_grad()
        peaks = tracker.get_tracker_snapshot("peak").values()
    return max(snapshot["Total"] for snapshot in peaks) / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--designs", type=int, default=40)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, ratios, table = random.Random(arguments.seed), [], Table(RESULTS / "memory.csv", ("design", "batch"))
    while len(ratios) < arguments.designs:
        try:
            design = random_design(rng)
        except ValueError:
            continue
        predicted = training_memory(design, arguments.batch)
        measured = counted(design, arguments.batch)
        ratios.append(predicted / measured)
        row = {
            "design": str(design),
            "batch": arguments.batch,
            "predicted GB": round(predicted, 4),
            "counted GB": round(measured, 4),
            "torch": torch.__version__,
        }
        print(f"{ratios[-1]:.3f} {row}", flush=True)
        table.append(row)
    errors = [abs(ratio - 1) for ratio in ratios]
    mean, worst = 100 * statistics.mean(errors), 100 * max(errors)
    print(f"{len(ratios)} designs: off by {mean:.1f} % on average, {worst:.1f} % at most")


if __name__ == "__main__":
    main()

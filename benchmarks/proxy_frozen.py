"""Score published designs by the recipe of frozen branches, which no preset has; docs/lab-book.md says what came of it.

    python -m benchmarks.proxy_frozen pyramid-ablation                           # every row, seed 0
    python -m benchmarks.proxy_frozen interaction-ablation --seed 1 --images 4096
    python -m benchmarks.proxy_frozen pyramid-ablation --row b-1024 --row tsb-direct-448-672-896

Branches are trained alone and frozen, interactions start at `--scale` instead of 0, and the head sees one position at a
time: what branches tell each other, only interactions can carry. Appends to frozen-branches.csv, row by row; a run that
the file has is not trained again.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from benchmarks.records import UNFINISHED, Clock, Table, parser
from piip_explore import proxy
from piip_explore.design import Design
from piip_explore.device_name import resolve
from piip_explore.models.interaction import DirectedInteraction
from piip_explore.models.layers import group_norm
from piip_explore.proxy import supernet, trainer
from piip_explore.proxy.network import Network
from piip_explore.proxy.presets import Preset, SupernetRecipe
from piip_explore.proxy.run import Run
from piip_explore.proxy.score import code_version
from piip_explore.proxy.tasks.segmentation import Segmentation
from piip_explore.proxy.validity.rows import published_rows

TABLE = "frozen-branches.csv"
KEY = ("scale", "images", "seed", "table", "row", "code")


@dataclass(frozen=True)
class PointwiseSegmentation(Segmentation):
    """Segmentation whose head mixes channels, and no positions."""

    def head(self, channels: list[int], classes: int) -> nn.Module:
        """Return the usual head with a 1x1 convolution in place of its 3x3 one."""
        head = super().head(channels, classes)
        head.block = nn.Sequential(nn.Conv2d(self.dim, self.dim, 1, bias=False), group_norm(self.dim), nn.GELU())
        return head


def recipe(images: int) -> Preset:
    """Return the recipe; `images` are seen in training, of 2,048 different ones."""
    branches = SupernetRecipe("branches", samples=8192, rate=1e-3, resolutions=(224, 448, 672, 896, 1120, 1568))
    return replace(
        proxy.preset("cpu"),
        name="frozen",
        task=PointwiseSegmentation(),
        train_images=2048,
        val_images=256,
        samples=images,
        supernet=branches,
    )


def frozen(design: Design, run: Run, scale: float) -> Network:
    """Return a run's network with frozen branches and with interactions that are at work from the first step."""
    torch.manual_seed(run.seed)
    network = Network(run.design, run.preset)
    # The branches learned under the usual head: only what reads them frozen must not mix positions.
    usual = replace(run.preset, task=Segmentation())
    network.load_state_dict(supernet.weights(design, usual, run.device, None), strict=False)
    for module in network.modules():
        if isinstance(module, DirectedInteraction):
            nn.init.constant_(module.ca_gamma, scale)
            nn.init.constant_(module.cffn_gamma, scale)
    network.pyramid.branches.requires_grad_(False)
    return network


def score(design: Design, preset: Preset, seed: int, device: torch.device, scale: float) -> Mapping[str, object]:
    """Train one design and return what the table keeps of it."""
    run = Run(preset.shrink(design), preset, seed, 1.0, device)
    network = frozen(design, run, scale)
    began = time.process_time()
    found = trainer.train(run, lambda: network)
    scales = [module.ca_gamma.abs().mean() for module in network.modules() if isinstance(module, DirectedInteraction)]
    return {
        "likelihood": f"{found.value:.3f}",
        "mIoU": f"{found.details['mIoU']:.3f}",
        "training loss": f"{found.train_loss[-1][1]:.4f}",
        "scale at the end": f"{torch.stack(scales).mean():.3f}" if scales else "",
        "CPU seconds": f"{time.process_time() - began:.0f}",
    }


def main() -> int:
    options = parser(__doc__ or "")
    options.add_argument("table", help="one of the published tables, such as pyramid-ablation")
    options.add_argument("--row", action="append", help="only this row; may be given several times")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--scale", type=float, default=0.3, help="of interactions at the start")
    options.add_argument("--images", type=int, default=2048, help="seen in training")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    preset, device, clock = recipe(chosen.images), resolve(chosen.device), Clock(chosen.limit)
    table = Table(chosen.out / TABLE, KEY)
    rows = published_rows([chosen.table])
    for name, design, published in zip(rows.name, rows.design, rows.value, strict=True):
        wanted = {
            "scale": chosen.scale,
            "images": chosen.images,
            "seed": chosen.seed,
            "table": chosen.table,
            "row": name,
            "code": code_version(),
        }
        if wanted in table or (chosen.row and name not in chosen.row):
            continue
        if clock.over():
            return UNFINISHED
        found = score(design.sorted(), preset, chosen.seed, device, chosen.scale)
        table.append({**wanted, "design": str(design), "published": published, **found})
        print(name, published, found["likelihood"], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

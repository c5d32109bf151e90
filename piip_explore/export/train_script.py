"""Train the network of a design.yaml; written by `piip-explore export --target native`.

    python train.py design.yaml --out runs/first
    torchrun --nproc-per-node 8 train.py design.yaml --out runs/first

Images lie in folders. Classification: `train/CLASS/*.jpg` and `val/CLASS/*.jpg`. Segmentation: `train/images/*.jpg`
with `train/labels/*.png` of the same names (a label is a class from 0; 255 is not counted), and `val` alike. Run the
same command again to go on where it stopped, whatever stopped it. The end is `weights.safetensors` in the folder.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
import yaml
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, Sampler

from piip_explore import Design
from piip_explore.export.checkpoints import OurWeights, find_weights, our_file, read_checkpoint
from piip_explore.export.exporter import write_whole
from piip_explore.models import Pyramid, build
from piip_explore.models.weights import load_branch

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IGNORED = 255
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


class Folder(Dataset[tuple[Tensor, Tensor]]):
    """Images below a folder with a class, or a map of classes, each; cropped and flipped at random for training."""

    def __init__(self, root: Path, task: str, size: int, training: bool, seed: int) -> None:
        self.dense, self.size, self.training, self.seed, self.epoch = task == "segmentation", size, training, seed, 0
        images = sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
        if self.dense:
            labels = {path.stem: path for path in (root / "labels").glob("*.png")}
            self.items: list[tuple[Path, Any]] = [(p, labels[p.stem]) for p in images if p.parent.name == "images"]
        else:
            classes = sorted({path.parent.name for path in images})
            self.items = [(path, classes.index(path.parent.name)) for path in images]
        if not self.items:
            raise SystemExit(f"no images in '{root}': see the top of this file for the folders that are expected")

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        path, target = self.items[index]
        random = np.random.default_rng((self.seed, self.epoch, index))
        with Image.open(path) as file:
            image = file.convert("RGB")
        label = Image.open(target) if self.dense else None
        box = self._crop(image.size, random) if self.training else _centre(image.size)
        flip = self.training and random.random() < 0.5
        pixels = _cut(image, box, self.size, flip, Image.Resampling.BICUBIC).astype(np.float32) / 255
        x = torch.from_numpy((pixels - np.array(MEAN, np.float32)) / np.array(STD, np.float32)).permute(2, 0, 1)
        if label is None:
            return x.contiguous(), torch.tensor(target)
        return x.contiguous(), torch.from_numpy(_cut(label, box, self.size, flip, Image.Resampling.NEAREST)).long()

    def _crop(self, size: tuple[int, int], random: np.random.Generator) -> tuple[int, int, int, int]:
        """Return a random square of a quarter to all of the area that a square can have."""
        side = max(1, round(min(size) * math.sqrt(random.uniform(0.25, 1))))
        left, top = (int(random.integers(0, full - side + 1)) for full in size)
        return left, top, left + side, top + side


def _centre(size: tuple[int, int]) -> tuple[int, int, int, int]:
    side = min(size)
    left, top = ((full - side) // 2 for full in size)
    return left, top, left + side, top + side


def _cut(
    image: Image.Image, box: tuple[int, int, int, int], size: int, flip: bool, how: Image.Resampling
) -> np.ndarray[Any, Any]:
    image = image.resize((size, size), how, box=box)
    return np.array(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image)


class Order(Sampler[int]):
    """This process's share of a random order that seed and epoch decide, from any place in it on."""

    def __init__(self, count: int, rank: int, world: int, seed: int, shuffle: bool) -> None:
        self.count, self.rank, self.world, self.seed, self.shuffle = count, rank, world, seed, shuffle
        self.epoch, self.start = 0, 0

    def __iter__(self) -> Iterator[int]:
        order = np.arange(self.count)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        return iter(order[self.rank :: self.world][self.start :].tolist())

    def __len__(self) -> int:
        return len(range(self.rank, self.count, self.world)) - self.start


class DenseNetwork(nn.Module):
    """The network and a head on all its maps: one linear layer each, summed at the largest map's size."""

    def __init__(self, network: Pyramid, design: Design, classes: int) -> None:
        super().__init__()
        self.network = network
        with torch.device("meta"):
            maps = build(design)(torch.zeros(1, 3, design.resolution, design.resolution))
        self.heads = nn.ModuleList(nn.Conv2d(x.shape[1], classes, 1) for x in maps)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) at the images' size."""
        logits = [head(x) for head, x in zip(self.heads, self.network(images), strict=True)]
        size = max((x.shape[2:] for x in logits), key=lambda s: int(s[0]))
        summed = torch.stack([F.interpolate(x, size=size, mode="bilinear") for x in logits]).sum(0)
        return F.interpolate(summed, size=images.shape[2:], mode="bilinear")


class Training:
    """One training run: a network, its optimizer and its place in the schedule, all of which a checkpoint keeps."""

    def __init__(self, settings: dict[str, Any], out: Path, per_device: int, workers: int, save_every: float) -> None:
        self.rank, self.world = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        local = int(os.environ.get("LOCAL_RANK", 0))
        self.device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
        self.settings, self.recipe, self.out = settings, settings["recipe"], out
        self.design = Design.parse(settings["design"])
        self.dense = settings["task"] == "segmentation"
        self.save_every, self.epoch, self.seen, self.best = save_every, 0, 0, -1.0
        torch.manual_seed(self.recipe["seed"])
        self.network = self._network()
        self.model = self.network.to(self.device)
        if self.world > 1:
            # A branch that feeds no output leaves its last parameters without a gradient.
            partial = self.design.merge.out is not None
            self.model = DistributedDataParallel(self.network, find_unused_parameters=partial)
        self.optimizer = self._optimizer()
        size, task, seed = self.design.resolution, settings["task"], self.recipe["seed"]
        self.train_set = Folder(Path(settings["data"]["train"]), task, size, True, seed)
        self.val_set = Folder(Path(settings["data"]["val"]), task, size, False, seed)
        self.order = Order(len(self.train_set), self.rank, self.world, seed, shuffle=True)
        shares = max(1, round(self.recipe["batch_size"] / (self.world * per_device)))
        self.per_step, self.shares = max(1, self.recipe["batch_size"] // (self.world * shares)), shares
        self.loaders = {"num_workers": workers, "pin_memory": self.device.type == "cuda"}
        self._resume()

    def _network(self) -> nn.Module:
        recipe = self.recipe
        classes = None if self.dense else recipe["classes"]
        options = {"drop_path": recipe["drop_path"], "checkpointing": recipe["checkpointing"]}
        pyramid = build(self.design, num_classes=classes, **options)
        for number, path in (self.settings.get("pretrained") or {}).items():
            tensors = read_checkpoint(find_weights(path)).tensors
            report = load_branch(pyramid.branches[int(number) - 1], tensors)  # type: ignore[arg-type]
            self.say(f"branch {number}: {len(report.loaded)} tensors of {report.family}, left out {report.left_out}")
        return DenseNetwork(pyramid, self.design, recipe["classes"]) if self.dense else pyramid

    def _optimizer(self) -> torch.optim.Optimizer:
        """Return AdamW: exchanges, merge and heads at a multiple of the branches' rate, no decay for vectors."""
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            scale = 1.0 if "branches." in name else self.recipe["exchange_lr_scale"]
            decay = self.recipe["weight_decay"] if parameter.ndim > 1 else 0.0
            groups.setdefault((scale, decay), []).append(parameter)
        return torch.optim.AdamW(
            [{"params": p, "scale": scale, "weight_decay": decay} for (scale, decay), p in groups.items()],
            lr=self.recipe["lr"],
        )

    def say(self, text: str) -> None:
        """Print from the first process."""
        if self.rank == 0:
            print(text, flush=True)

    def run(self) -> None:
        """Train to the end, evaluating and saving after every epoch."""
        while self.epoch < self.recipe["epochs"]:
            loss = self._epoch()
            self.epoch, self.seen = self.epoch + 1, 0
            metrics = {"epoch": self.epoch, "loss": loss, **self.evaluate()}
            self.say(json.dumps(metrics))
            if self.rank == 0:
                with (self.out / "metrics.jsonl").open("a") as file:
                    file.write(json.dumps(metrics) + "\n")
                if metrics["score"] > self.best:
                    self.best = metrics["score"]
                    self._write_weights("best.safetensors")
            self.save()
        if self.rank == 0:
            self._write_weights("weights.safetensors")

    def _epoch(self) -> float:
        torch.manual_seed(self.recipe["seed"] + self.epoch)
        self.model.train()
        self.order.epoch, self.train_set.epoch, self.order.start = self.epoch, self.epoch, self.seen // self.world
        loader = DataLoader(self.train_set, self.per_step, sampler=self.order, drop_last=True, **self.loaders)  # type: ignore[arg-type]
        per_epoch = len(self.train_set) // self.world // self.per_step
        if not per_epoch:
            raise SystemExit(f"{len(self.train_set)} training images are less than a batch: lower batch_size")
        total, count, saved, shown = 0.0, 0, time.monotonic(), time.monotonic()
        for images, targets in loader:
            done = self.seen // (self.per_step * self.world)
            self._set_rate((self.epoch + done / per_epoch) / self.recipe["epochs"])
            loss = self._loss(images, targets) / self.shares
            loss.backward()
            self.seen += self.per_step * self.world
            total, count = total + loss.item() * self.shares, count + 1
            if time.monotonic() - shown > 10:
                shown = time.monotonic()
                self.say(
                    f"epoch {self.epoch + 1}, image {self.seen} of {len(self.train_set)}, loss {total / count:.4f}"
                )
            if (done + 1) % self.shares and done + 1 < per_epoch:
                continue
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
            if time.monotonic() - saved > self.save_every:
                saved = time.monotonic()
                self.save()
        return total / max(count, 1)

    def _set_rate(self, progress: float) -> None:
        warm = self.recipe["warmup_epochs"] / self.recipe["epochs"]
        factor = progress / warm if progress < warm else 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe["lr"] * group["scale"] * factor

    def _logits(self, images: Tensor) -> Tensor:
        bf16 = self.recipe["precision"] == "bf16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
            logits: Tensor = self.model(images.to(self.device, non_blocking=True))
        return logits.float()

    def _loss(self, images: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            self._logits(images), targets.to(self.device), ignore_index=IGNORED if self.dense else -1
        )

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return the score on the validation images: top-1 accuracy, or mean intersection over union."""
        self.model.eval()
        classes = self.recipe["classes"]
        confusion = torch.zeros(classes, classes, dtype=torch.int64, device=self.device)
        order = Order(len(self.val_set), self.rank, self.world, 0, shuffle=False)
        for images, targets in DataLoader(self.val_set, self.per_step, sampler=order, **self.loaders):  # type: ignore[arg-type]
            guess, truth = self._logits(images).argmax(1).flatten(), targets.to(self.device).flatten()
            counted = truth < classes
            index = truth[counted] * classes + guess[counted]
            confusion += torch.bincount(index, minlength=classes**2).view(classes, classes)
        if self.world > 1:
            dist.all_reduce(confusion)
        hits = confusion.diag().double()
        if not self.dense:
            return {"score": (hits.sum() / confusion.sum().clamp(min=1)).item()}
        union = confusion.sum(0) + confusion.sum(1) - confusion.diag()
        return {"score": (hits[union > 0] / union[union > 0]).mean().item()}

    def _resume(self) -> None:
        path = self.out / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["design"] != self.settings["design"]:
            raise SystemExit(f"'{path}' trains '{state['design']}': choose another --out")
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch, self.seen, self.best = state["epoch"], state["seen"], state["best"]
        self.say(f"going on from epoch {self.epoch + 1}, image {self.seen}")

    def save(self) -> None:
        """Write `last.pt` whole or not at all."""
        if self.rank > 0:
            return
        state = {"design": self.settings["design"], "network": self.network.state_dict()}
        state |= {"optimizer": self.optimizer.state_dict(), "epoch": self.epoch, "seen": self.seen, "best": self.best}
        temporary = self.out / "last.pt.writing"
        torch.save(state, temporary)
        os.replace(temporary, self.out / "last.pt")

    def _write_weights(self, name: str) -> None:
        pyramid = self.network.network if isinstance(self.network, DenseNetwork) else self.network
        write_whole(self.out / name, our_file(OurWeights(self.design, pyramid.state_dict(), {})))


def main() -> None:
    """Read the arguments, join the other processes where there are any, and train."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", type=Path, help="the design.yaml")
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoints, metrics and weights")
    parser.add_argument("--batch-per-device", type=int, default=16, help="images at once on a device")
    parser.add_argument("--workers", type=int, default=4, help="processes that load images, per device")
    parser.add_argument("--save-every", type=float, default=600, help="seconds between checkpoints")
    args = parser.parse_args()
    settings = yaml.safe_load(args.settings.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    distributed = int(os.environ.get("WORLD_SIZE", 1)) > 1
    if distributed:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        Training(settings, args.out, args.batch_per_device, args.workers, args.save_every).run()
    finally:
        if distributed:
            dist.destroy_process_group()


if __name__ == "__main__":
    main()

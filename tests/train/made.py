"""Small data sets and runs for the tests of training."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from PIL import Image, ImageDraw

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter, write_files

BRANCHES = "vit[depth=2,dim=32,heads=2]@96 vit[depth=2,dim=64,heads=2]@48; interactions=2; heads=2"
COLOURS = [(220, 40, 40), (40, 60, 230)]
SIDE = 96


def scene(number: int) -> tuple[Image.Image, list[tuple[int, list[int]]]]:
    """Return a picture of a coloured rectangle, and its class and corners.

    In the detector's pictures, which are resized to 57 pixels, it has the size of the smallest anchors.
    """
    random = np.random.default_rng(number)
    picture = Image.new("RGB", (SIDE, SIDE), (90, 120, 90))
    kind = int(random.integers(2))
    width, height = (int(n) for n in random.integers(50, 59, 2))
    left, top = int(random.integers(SIDE - width + 1)), int(random.integers(SIDE - height + 1))
    ImageDraw.Draw(picture).rectangle((left, top, left + width - 1, top + height - 1), fill=COLOURS[kind])
    return picture, [(kind, [left, top, left + width, top + height])]


def coco(root: Path, count: int, masks: bool = True) -> str:
    """Write scenes as COCO data whose validation pictures are the training pictures; return its name."""
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        annotations: list[dict[str, Any]] = []
        for number in range(count):
            picture, shapes = scene(number)
            picture.save(root / split / f"{number}.png")
            for kind, (x0, y0, x1, y1) in shapes:
                entry = {"id": len(annotations) + 1, "image_id": number, "category_id": kind + 1, "iscrowd": 0}
                entry |= {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0)}
                annotations.append(entry | ({"segmentation": [[x0, y0, x1, y0, x1, y1, x0, y1]]} if masks else {}))
        images = [{"id": n, "file_name": f"{n}.png", "width": SIDE, "height": SIDE} for n in range(count)]
        categories = [{"id": 1, "name": "red"}, {"id": 2, "name": "blue"}]
        (root / "annotations").mkdir(exist_ok=True)
        content = {"images": images, "annotations": annotations, "categories": categories}
        (root / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))
    return f"coco:{root}"


def ade20k(root: Path, count: int) -> str:
    """Write scenes as pictures and masks, background as class 1; return its name."""
    for split in ("training", "validation"):
        for part in ("images", "annotations"):
            (root / part / split).mkdir(parents=True)
        for number in range(count):
            picture, shapes = scene(number)
            index = np.ones((SIDE, SIDE), np.uint8)
            for kind, (x0, y0, x1, y1) in shapes:
                index[y0:y1, x0:x1] = kind + 2
            picture.save(root / "images" / split / f"{number}.png")
            Image.fromarray(index).save(root / "annotations" / split / f"{number}.png")
    (root / "classes.txt").write_text("ground\nred\nblue\n")
    return f"ade20k:{root}"


def imagefolder(root: Path, count: int) -> str:
    """Write scenes in the folder of their first shape's colour; return its name."""
    for split in ("train", "val"):
        for number in range(count):
            picture, shapes = scene(number)
            folder = root / split / ("red", "blue")[shapes[0][0]]
            folder.mkdir(parents=True, exist_ok=True)
            picture.save(folder / f"{number}.png")
    return f"imagefolder:{root}"


def settings(folder: Path, data: str, merge: str = "conv", branches: str = BRANCHES, **recipe: object) -> Path:
    """Export a small design for training on `data`, with a recipe of its own; return the file."""
    (path,) = write_files(exporter("native", data=data).export(Design.parse(f"{branches}; merge={merge}")), folder)
    content = yaml.safe_load(path.read_text())
    content["recipe"] |= {"precision": "fp32", "warmup_epochs": 1, "layer_decay": 1.0, **recipe}
    path.write_text(yaml.safe_dump(content))
    return path


def rows(out: Path) -> list[dict[str, Any]]:
    """Return the metrics of a run's epochs."""
    path = out / "metrics.jsonl"
    read = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [row for row in read if "epoch" in row]


class Processes:
    """A training in forked processes of one thread each: real ones, to be killed, without imports of their own."""

    def __init__(self, path: Path, out: Path, world: int = 1, **machine: Any) -> None:
        self.numbers = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        for rank in range(world):
            number = os.fork()
            if number == 0:
                shared = {"WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "RANK": rank}
                values = shared | {"LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": world} if world > 1 else {}
                os.environ.update({name: str(value) for name, value in values.items()})
                os._exit(_status(path, out, machine))
            self.numbers.append(number)

    def end(self) -> list[int]:
        """Wait for the end of all; return their statuses, negative for a signal."""
        return [os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in self.numbers]

    def kill(self) -> None:
        """Kill all, and wait for them."""
        for number in self.numbers:
            os.kill(number, signal.SIGKILL)
        self.end()


def _status(path: Path, out: Path, machine: dict[str, Any]) -> int:
    from piip_explore.train.loop import train
    from piip_explore.train.settings import read_settings
    from piip_explore.train.stepper import Machine

    torch.set_num_threads(1)
    try:
        train(read_settings(path), out, Machine("cpu", workers=0, **machine))
    except KeyboardInterrupt:
        return 1
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    except BaseException:
        traceback.print_exc()
        return 3
    return 0


def torchrun(path: Path, out: Path, dies_at: int | None = None) -> int:
    """Train in two processes that torchrun starts, as a cluster does; return its status.

    Args:
        dies_at: the step before which the second process is killed.
    """
    program = out.parent / "program.py"
    program.write_text(_PROGRAM)
    started = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(program)]
    options = ["--out", str(out), "--device", "cpu", "--workers", "0", "--save-every", "0"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "DIES_AT": str(dies_at)}
    return subprocess.run([*started, "train", str(path), *options], env=environment, check=False).returncode


_PROGRAM = """
import os, signal
from piip_explore.__main__ import main
from piip_explore.train.stepper import Stepper

run = Stepper.run

def dying(stepper, batches):
    if os.environ["RANK"] == "1" and str(stepper.step) == os.environ["DIES_AT"]:
        os.kill(os.getpid(), signal.SIGKILL)
    return run(stepper, batches)

Stepper.run = dying
main()
"""


def killed_at(step: int, path: Path, out: Path, world: int = 1) -> None:
    """Start a training that saves after every step, and kill it when the checkpoint is of `step` or later."""
    running = Processes(path, out, world, save_every=0.0)
    while not (out / "last.pt").exists() or torch.load(out / "last.pt", weights_only=True)["step"] < step:
        ended, status = os.waitpid(running.numbers[0], os.WNOHANG)
        assert not ended, f"ended with {status} before step {step}"
        time.sleep(0.05)
    running.kill()

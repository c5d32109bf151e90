"""The exported training script, run as a person runs it: on the CPU, in two processes, killed and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter, write_files
from piip_explore.export.checkpoints import read_ours
from piip_explore.export.image_folders import Folder
from piip_explore.models import build

BRANCHES = "vit[depth=2,dim=32,heads=2]@32 vit[depth=2,dim=64,heads=2]@16; interactions=2; heads=2"
CLASSES = 4


def make_images(root: Path, task: str, count: int) -> None:
    """Write handwritten digits as images: in class folders, or with a label map of where the ink is."""
    digits = load_digits(n_class=CLASSES)
    for index in range(count):
        split = "val" if index % 4 == 0 else "train"
        pixels, digit = (digits.images[index] * 15.9).astype(np.uint8), int(digits.target[index])
        image = Image.fromarray(pixels).resize((40, 36), Image.Resampling.BICUBIC)
        folder = root / split / ("images" if task == "segmentation" else str(digit))
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index}.png")
        if task == "segmentation":
            (root / split / "labels").mkdir(exist_ok=True)
            Image.fromarray((np.array(image) > 100).astype(np.uint8)).save(root / split / "labels" / f"{index}.png")


def prepare(folder: Path, merge: str, **changes: object) -> list[str]:
    """Export a design, shrink its recipe, make its data; return the script's arguments."""
    write_files(exporter("native").export(Design.parse(f"{BRANCHES}; merge={merge}")), folder)
    settings = yaml.safe_load((folder / "design.yaml").read_text())
    settings["recipe"] |= {"epochs": 3, "warmup_epochs": 1, "batch_size": 8, "lr": 1e-3, "classes": CLASSES, **changes}
    settings["data"] = {split: str(folder / "data" / split) for split in ("train", "val")}
    (folder / "design.yaml").write_text(yaml.safe_dump(settings))
    make_images(folder / "data", settings["task"], 64)
    return ["train.py", "design.yaml", "--workers", "0", "--batch-per-device", "4"]


def environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}


def metrics(run: Path) -> list[dict[str, float]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.slow
def test_killed_and_run_again_gives_the_uninterrupted_result(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, "linear", precision="fp32", drop_path=0.1)
    whole = [sys.executable, *arguments, "--out", "whole"]
    subprocess.run(whole, cwd=tmp_path, env=environment(), check=True, timeout=300)
    assert [row["epoch"] for row in metrics(tmp_path / "whole")] == [1, 2, 3]

    parts = [sys.executable, *arguments, "--out", "parts"]
    process = subprocess.Popen(parts, cwd=tmp_path, env=environment())
    while not (tmp_path / "parts" / "last.pt").exists():  # the end of an epoch
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = subprocess.run(parts, cwd=tmp_path, env=environment(), check=True, timeout=300, stdout=subprocess.PIPE)
    assert b"going on from epoch" in again.stdout
    rows = {row["epoch"]: row for row in metrics(tmp_path / "parts")}
    assert rows == {row["epoch"]: row for row in metrics(tmp_path / "whole")}

    trained, same = (read_ours(tmp_path / name / "weights.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(tensor, same.state[name]) for name, tensor in trained.state.items())
    build(trained.design, num_classes=CLASSES).load_state_dict(trained.state)


@pytest.mark.slow
def test_two_processes_train_a_dense_network_in_bf16(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, "conv", epochs=2, precision="bf16")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    subprocess.run([*launch, "--out", "run"], cwd=tmp_path, env=environment(), check=True, timeout=300)
    rows = metrics(tmp_path / "run")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert all(0 < row["score"] <= 1 and row["loss"] > 0 for row in rows)
    weights = read_ours(tmp_path / "run" / "weights.safetensors")
    build(weights.design).load_state_dict(weights.state)


def test_images_without_a_label_or_a_known_class_are_named(tmp_path: Path) -> None:
    make_images(tmp_path / "maps", "segmentation", 8)
    make_images(tmp_path / "classes", "classification", 8)
    train = tmp_path / "maps" / "train"
    (train / "labels" / "1.png").unlink()
    with pytest.raises(InputError, match=r"1\.png' has no label"):
        Folder(train, None, 16, True, 0)
    names = sorted(folder.name for folder in (tmp_path / "classes" / "train").iterdir())
    folder = Folder(tmp_path / "classes" / "train", names, 16, True, 0)
    image, target = folder[0]
    assert image.shape == (3, 16, 16)
    assert int(target) == names.index(folder.items[0][0].parent.name)
    with pytest.raises(InputError, match="a class that no training image has"):
        Folder(tmp_path / "classes" / "train", names[1:], 16, False, 0)
    with pytest.raises(InputError, match="no images"):
        Folder(tmp_path / "empty", names, 16, False, 0)


def test_bad_settings_are_one_line(tmp_path: Path) -> None:
    arguments = prepare(tmp_path, "linear", classes=CLASSES - 1)
    for words, command in (
        (f"has {CLASSES} classes: the recipe says {CLASSES - 1}", [*arguments, "--out", "run"]),
        ("there is no file 'gone.yaml'", ["train.py", "gone.yaml", "--out", "run"]),
    ):
        made = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300
        )
        assert made.returncode == 1
        assert words in made.stderr
        assert made.stderr.count("\n") == 1


def test_the_script_is_the_packages_own_and_the_yaml_says_the_design() -> None:
    design = Design.parse(f"{BRANCHES}; merge=separate-heads")
    files = exporter("native").export(design)
    settings = yaml.safe_load(files["design.yaml"])
    assert Design.parse(settings["design"]) == design
    assert settings["task"] == "classification"
    assert settings["recipe"]["lr"] == 3e-5
    compile(files["train.py"], "train.py", "exec")

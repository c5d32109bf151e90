"""Whole trainings on the CPU: they learn their pictures, and a kill changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("torchvision", reason="training has an environment of its own: make test-train")
pytest.importorskip("accelerate", reason="training has an environment of its own: make test-train")

from piip_explore.export.checkpoints import read_ours
from piip_explore.models import build
from piip_explore.train import loop  # noqa: F401 - processes are forked, and need not import it all again
from piip_explore.train.tasks import classification, detection, segmentation  # noqa: F401
from tests.train import made
from tests.train.made import Processes, killed_at, rows

PLAIN = {"drop_path": [0, 0], "interaction_drop_path": 0}
TASKS: dict[str, tuple[Callable[..., str], str, dict[str, Any]]] = {
    "detection": (made.coco, "conv", {"head_width": 32}),
    "segmentation": (made.ade20k, "conv", {"precision": "bf16"}),
    "classification": (made.imagefolder, "linear", {"ema": 0.5}),
}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("task", TASKS)
def test_a_run_killed_twice_ends_as_one_that_was_not(task: str, tmp_path: Path) -> None:
    data, merge, recipe = TASKS[task]
    recipe = {"epochs": 2, "batch_size": 4, "lr": 1e-3, **recipe}  # with stochastic depth and augmentation
    path = made.settings(tmp_path, data(tmp_path / "data", 12), merge, **recipe)
    assert Processes(path, tmp_path / "whole", 2).end() == [0, 0]
    for step in (2, 4):  # in the midst of both epochs
        killed_at(step, path, tmp_path / "parts", 2)
    assert Processes(path, tmp_path / "parts", 2).end() == [0, 0]
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert [row["epoch"] for row in rows(tmp_path / "whole")] == [1, 2]
    assert all(row["loss"] > 0 for row in rows(tmp_path / "whole"))
    for name in ("weights.safetensors", "best.safetensors", "metrics.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    kept = {entry.name for entry in (tmp_path / "parts").iterdir()}
    assert kept == {*FILES, "tensorboard"}
    for name in ("metrics.json", "metrics.jsonl", "weights.safetensors"):
        whole = (tmp_path / "whole" / name).read_bytes()
        (tmp_path / "whole" / name).write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        assert Processes(path, tmp_path / "whole", 2).end() == [0, 0]
        assert (tmp_path / "whole" / name).read_bytes() == whole, f"{name} is remade from the checkpoint"
    weights = read_ours(tmp_path / "whole" / "weights.safetensors")
    build(weights.design, num_classes=2 if task == "classification" else None).load_state_dict(weights.state)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_under_torchrun_a_run_that_lost_a_process_ends_as_one_that_did_not(tmp_path: Path) -> None:
    path = made.settings(tmp_path, made.imagefolder(tmp_path / "data", 8), "linear", epochs=3, batch_size=4, lr=1e-3)
    assert made.torchrun(path, tmp_path / "whole") == 0
    assert made.torchrun(path, tmp_path / "parts", dies_at=3) != 0
    assert [row["epoch"] for row in rows(tmp_path / "parts")] == [1]
    assert made.torchrun(path, tmp_path / "parts") == 0
    assert [row["epoch"] for row in rows(tmp_path / "whole")] == [1, 2, 3]
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    for name in ("weights.safetensors", "best.safetensors", "metrics.json"):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


@pytest.mark.slow
def test_masks_without_a_class_end_the_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data, merge, _ = TASKS["segmentation"]
    name = data(tmp_path / "data", 4)
    for mask in (tmp_path / "data/annotations/training").iterdir():
        Image.new("L", (made.SIDE, made.SIDE), 0).save(mask)
    path = made.settings(tmp_path, name, merge, epochs=2, batch_size=4)
    assert Processes(path, tmp_path / "run").end() == [2]
    assert "the loss was 0 throughout epoch 1: no training picture has anything" in capfd.readouterr().err


FILES = ("last.pt", "locks", "metrics.json", "metrics.jsonl", "best.safetensors", "weights.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("task", "epochs", "least"), [("detection", 6, 50), ("segmentation", 4, 70), ("classification", 6, 90)]
)
def test_a_small_design_learns_its_training_pictures(task: str, epochs: int, least: float, tmp_path: Path) -> None:
    data, merge, recipe = TASKS[task]
    recipe = {"epochs": epochs, "batch_size": 4, "lr": 2e-3, "schedule": "cosine", **PLAIN, **recipe}
    if task == "classification":
        recipe |= {"augment": "", "mixup": 0, "cutmix": 0}
    path = made.settings(tmp_path, data(tmp_path / "data", 40), merge, **recipe)
    assert Processes(path, tmp_path / "run", 2).end() == [0, 0]
    assert rows(tmp_path / "run")[-1]["score"] >= least

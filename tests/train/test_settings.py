"""A design.yaml as people write it: read, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter, write_files
from piip_explore.export.recipe import published
from piip_explore.train.settings import read_settings

DENSE = Design.parse("vit_tiny@224 vit_small@112; interactions=3")
CLASSIFIER = Design.parse("vit_tiny@224 vit_base@112; interactions=3; merge=linear")


def exported(folder: Path, design: Design = DENSE, data: str | None = None) -> Path:
    (path,) = write_files(exporter("native", data=data).export(design), folder)
    return path


@pytest.mark.parametrize(
    ("design", "data", "task"),
    [
        (DENSE, None, "detection"),
        (DENSE, "ade20k:/data/ade", "segmentation"),
        (CLASSIFIER, None, "classification"),
        (CLASSIFIER, "coco:/data/coco", "detection"),
    ],
)
def test_what_is_exported_is_the_published_recipe_of_the_datas_task(
    design: Design, data: str | None, task: Any, tmp_path: Path
) -> None:
    settings = read_settings(exported(tmp_path, design, data))
    assert settings.task == task
    assert settings.design == design
    assert settings.recipe == published(design, task)
    assert settings.pretrained == ()


def test_published_figures() -> None:
    detection, classification = published(DENSE, "detection"), published(CLASSIFIER, "classification")
    assert (detection.lr, detection.layer_decay, detection.epochs, detection.batch_size) == (1e-4, 0.85, 12, 16)
    assert detection.drop_path == (0.05, 0.05)
    assert classification.drop_path == (0.05, 0.2)
    assert (classification.lr, classification.new_lr_scale, classification.weight_decay) == (3e-5, 10, 0.1)


def test_numbers_are_read_as_people_write_them(tmp_path: Path) -> None:
    path = exported(tmp_path)
    text = path.read_text().replace("lr: 0.0001", "lr: 1e-3").replace("epochs: 12\n", "epochs: 12.0\n")
    path.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert yaml.safe_load(text)["recipe"]["lr"] == "1e-3"  # YAML 1.1 wants 1.0e-3
    recipe = read_settings(path).recipe
    assert (recipe.lr, recipe.epochs) == (1e-3, 12)
    assert isinstance(recipe.epochs, int)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no design": ({"design": None}, "has no 'design'"),
    "a kind of data": ({"data": "voc:data"}, "data 'voc:data': expected coco:FOLDER"),
    "data without a folder": ({"data": "coco"}, "data 'coco': expected coco:FOLDER"),
    "an entry": ({"recipes": {}}, "has an entry 'recipes': did you mean 'recipe'"),
    "recipe entry": ({"recipe": {"epoch": 3}}, "a detection has no 'epoch': did you mean 'epochs'"),
    "channels": ({"in_channels": 4}, "'in_channels': pictures are read in RGB; for other channels, train build("),
    "channels in the recipe": ({"recipe": {"in_chans": 1}}, "'in_chans': pictures are read in RGB"),
    "another task's entry": ({"recipe": {"mixup": 0.1}}, "a detection has no 'mixup'"),
    "a word": ({"recipe": {"epochs": "many"}}, "epochs is 'many', expected a number such as 12"),
    "half an epoch": ({"recipe": {"epochs": 1.5}}, "epochs is 1.5"),
    "not finite": ({"recipe": {"lr": float("nan")}}, "lr is nan"),
    "zero": ({"recipe": {"lr": 0}}, "lr is 0, expected a number above 0"),
    "negative": ({"recipe": {"clip": -1}}, "clip is -1"),
    "precision": ({"recipe": {"precision": "fp8"}}, "precision is 'fp8', expected bf16 or fp32"),
    "rates": ({"recipe": {"drop_path": [0.1]}}, "drop_path has 1 rates: expected one per branch"),
    "switch": ({"recipe": {"checkpointing": "yes please"}}, "checkpointing is 'yes please'"),
    "branch": ({"pretrained": {3: "deit.pth"}}, "expected a file by branch number, 1 to 2"),
    "pretrained": ({"pretrained": "deit.pth"}, "pretrained is 'deit.pth', expected files by branch number"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_right_is_named(case: str, tmp_path: Path) -> None:
    change, words = WRONG[case]
    path = exported(tmp_path)
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    with pytest.raises(InputError) as refusal:
        read_settings(path)
    assert words in str(refusal.value)
    assert str(path) in str(refusal.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_settings(tmp_path / "gone.yaml")
    (tmp_path / "broken.yaml").write_text("recipe: [")
    with pytest.raises(InputError, match="is not YAML"):
        read_settings(tmp_path / "broken.yaml")
    with pytest.raises(InputError, match=r"data 'voc:x': expected coco:FOLDER"):
        exporter("native", data="voc:x")

"""A user's own data: read right, and every way to be wrong named before training."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from piip_explore import proxy
from piip_explore.errors import InputError
from piip_explore.proxy.data import IGNORE, open_folder
from piip_explore.proxy.data import ade20k as ade20k_module
from piip_explore.proxy.data import coco as coco_module
from piip_explore.proxy.data import imagefolder as imagefolder_module

CPU = torch.device("cpu")


def _picture(path: Path, width: int, height: int, color=(200, 10, 10)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), color).save(path)


def _coco(root: Path) -> Path:
    for split in ("train", "val"):
        _picture(root / f"{split}2017" / "a.png", 80, 40)
        _picture(root / f"{split}2017" / "b.png", 40, 40)
        content = {
            "images": [{"id": 7, "file_name": "a.png"}, {"id": 9, "file_name": "b.png"}],
            "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "car"}],
            "annotations": [
                {"id": 1, "image_id": 7, "category_id": 18, "bbox": [10, 10, 40, 20]},
                {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 0.5, 0.5]},
                {"id": 3, "image_id": 7, "category_id": 3, "bbox": [0, 0, 80, 40], "iscrowd": 1},
            ],
        }
        path = root / "annotations" / f"instances_{split}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    return root


def _masks(root: Path) -> Path:
    for split in ("training", "validation"):
        _picture(root / "images" / split / "a.jpg", 8, 4)
        (root / "annotations" / split).mkdir(parents=True)
        mask = np.zeros((4, 8), np.uint8)
        mask[:, 4:] = 2
        Image.fromarray(mask).save(root / "annotations" / split / "a.png")
    (root / "classes.txt").write_text("wall\nsky\n")
    return root


def _folders(root: Path) -> Path:
    for split in ("train", "val"):
        _picture(root / split / "cat" / "1.png", 8, 6, (0, 0, 0))
        _picture(root / split / "dog" / "1.png", 6, 8, (255, 255, 255))
    return root


MAKE = {"coco": _coco, "ade20k": _masks, "imagefolder": _folders}


@pytest.fixture(autouse=True)
def _fresh_indices(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path / "cache"))
    for function in (coco_module._index, ade20k_module._pairs, imagefolder_module._classes, imagefolder_module._files):
        function.cache_clear()


@pytest.mark.parametrize("kind", sorted(MAKE))
def test_every_source_keeps_the_contract(kind, tmp_path):
    source = open_folder(f"{kind}:{MAKE[kind](tmp_path / 'data')}")
    source.check()
    (annotation,) = source.provides
    assert len(source.classes(annotation)) == 2
    first, again = (source.load("train", 5, 16, CPU) for _ in range(2))
    assert first.images.shape[1:] == (3, 16, 16)
    assert first.images.dtype == torch.uint8
    assert 1 <= len(first) <= 5
    for name, column in vars(first).items():
        assert torch.equal(column, getattr(again, name)), name
    here = source.id
    (tmp_path / "elsewhere").mkdir()
    assert open_folder(f"{kind}:{MAKE[kind](tmp_path / 'elsewhere')}").id == here  # content, not place


def test_coco_boxes_scale_with_their_image(tmp_path):
    samples = open_folder(f"coco:{_coco(tmp_path / 'data')}").load("val", 2, 40, CPU)
    wide = int((samples.box_start.diff() == 1).nonzero())  # the one with a box: the crowd and the speck are left out
    assert samples.boxes.tolist() == [[5, 5, 25, 15]]
    assert samples.box_classes.tolist() == [1]  # car is 3, dog is 18
    assert samples.images[wide, :, 10, 30].tolist() == [200, 10, 10]
    assert samples.images[wide, :, 30, 30].tolist() != [200, 10, 10]  # the padding below


def test_masks_keep_their_classes_and_ignore_the_rest(tmp_path):
    samples = open_folder(f"ade20k:{_masks(tmp_path / 'data')}").load("train", 1, 8, CPU)
    expected = torch.full((8, 8), IGNORE, dtype=torch.uint8)
    expected[:4, 4:] = 1
    assert torch.equal(samples.masks[0], expected)


def test_labels_follow_the_folders(tmp_path):
    samples = open_folder(f"imagefolder:{_folders(tmp_path / 'data')}").load("train", 2, 6, CPU)
    assert [int(samples.images[n].max()) // 255 for n in range(2)] == samples.labels.tolist()


def _edit(path: Path, change) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


BREAK = [
    ("coco", lambda d: (d / "train2017/a.png").unlink(), "a.png"),
    ("coco", lambda d: (d / "val2017/b.png").write_bytes(b"no picture"), "b.png"),
    ("coco", lambda d: (d / "annotations/instances_val2017.json").write_text("{"), "instances_val2017.json"),
    ("coco", lambda d: (d / "annotations/instances_val2017.json").unlink(), "instances_val"),
    (
        "coco",
        lambda d: _edit(d / "annotations/instances_val2017.json", lambda c: c["categories"].pop(1)),
        "instances_val",
    ),
    ("coco", lambda d: _edit(d / "annotations/instances_val2017.json", lambda c: c.update(images=[])), "no images"),
    (
        "coco",
        lambda d: _edit(
            d / "annotations/instances_train2017.json", lambda c: c["annotations"][0].update(category_id=5)
        ),
        "category 5",
    ),
    ("ade20k", lambda d: (d / "annotations/training/a.png").unlink(), "a.jpg' has no mask"),
    ("ade20k", lambda d: (d / "images/validation/a.jpg").unlink(), "no pictures"),
    ("ade20k", lambda d: (d / "images/validation/a.jpg").write_bytes(b""), "a.jpg"),
    ("imagefolder", lambda d: (d / "val/dog/1.png").rename(d / "val/1.png"), "dog"),
    ("imagefolder", lambda d: (d / "train/cat").rename(d / "train/cow"), "cat"),
]


@pytest.mark.parametrize(("kind", "damage", "named"), BREAK, ids=[f"{kind}-{named}" for kind, _, named in BREAK])
def test_what_is_wrong_is_named_before_training(kind, damage, named, tmp_path):
    data = MAKE[kind](tmp_path / "data")
    damage(data)
    source = open_folder(f"{kind}:{data}")
    with pytest.raises(InputError, match=named):
        source.check()


def test_a_picture_damaged_in_the_middle_is_named_when_it_is_loaded(tmp_path):
    data = _coco(tmp_path / "data")
    path = data / "train2017" / "a.png"
    noise = np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"a\.png' is damaged"):
        open_folder(f"coco:{data}").load("train", 2, 16, CPU)


def test_a_mask_with_a_class_too_many_is_named(tmp_path):
    data = _masks(tmp_path / "data")
    (data / "classes.txt").write_text("wall\n")
    with pytest.raises(InputError, match=r"a\.png' has class 2"):
        open_folder(f"ade20k:{data}").load("train", 1, 8, CPU)


def test_presets_take_own_data_that_fit_their_task(tmp_path):
    data = _masks(tmp_path / "data")
    own = proxy.preset(f"demo@ade20k:{data}")
    assert own.hash != proxy.preset("demo").hash
    assert own.data.classes("masks") == ("wall", "sky")
    with pytest.raises(InputError, match="needs masks"):
        proxy.preset(f"demo@coco:{_coco(tmp_path / 'boxes')}")
    for wrong in ("demo@video:/tmp", "demo@coco:/nowhere", "dmo"):
        with pytest.raises(InputError, match=r"dmo|video|nowhere"):
            proxy.preset(wrong)

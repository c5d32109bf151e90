"""A user's own data as samples: squares with their annotations, the same for the same files, wherever they lie."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from piip_explore import proxy
from piip_explore.errors import InputError
from piip_explore.proxy.data import IGNORE, open_folder
from tests.datasets import made

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("kind", sorted(made.MAKE))
def test_every_source_keeps_the_contract(kind, tmp_path):
    source = open_folder(f"{kind}:{made.MAKE[kind](tmp_path / 'data')}")
    source.check()
    (annotation,) = source.provides
    assert len(source.classes(annotation)) == 2
    first, again = (source.load("train", 5, 16, CPU) for _ in range(2))
    assert first.images.shape[1:] == (3, 16, 16)
    assert first.images.dtype == torch.uint8
    assert 1 <= len(first) <= 5
    for name, column in vars(first).items():
        assert torch.equal(column, getattr(again, name)), name
    (tmp_path / "elsewhere").mkdir()
    elsewhere = open_folder(f"{kind}:{made.MAKE[kind](tmp_path / 'elsewhere')}")
    assert elsewhere.fingerprint(2, 2) == source.fingerprint(2, 2)  # content, not place


def test_coco_boxes_scale_with_their_image(tmp_path):
    data = made.coco(tmp_path / "data")
    made.edit(data, lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [0, 0, 1.5, 1.5]}), "val")
    samples = open_folder(f"coco:{data}").load("val", 2, 40, CPU)
    wide = int((samples.box_start.diff() == 1).nonzero())  # the one with a box: crowd and speck are left out
    assert samples.boxes.tolist() == [[5, 5, 25, 15]]
    assert samples.box_classes.tolist() == [1]  # car is 3, dog is 18
    assert samples.images[wide, :, 10, 30].tolist() == [200, 10, 10]
    assert samples.images[wide, :, 30, 30].tolist() != [200, 10, 10]  # the padding below


def test_boxes_that_all_vanish_are_refused(tmp_path):
    data = made.coco(tmp_path / "data")
    made.edit(data, lambda c: c["annotations"][0].update(bbox=[100, 100, 50, 50]))
    with pytest.raises(InputError, match=r"instances_train2017\.json': no box has a pixel or more"):
        open_folder(f"coco:{data}").load("train", 2, 40, CPU)


def test_masks_without_a_class_are_refused(tmp_path):
    data = made.masks(tmp_path / "data")
    Image.new("L", (8, 4), 0).save(data / "annotations/training/a.png")
    with pytest.raises(InputError, match=r"none of 1 masks in '.*annotations/training' has a class"):
        open_folder(f"ade20k:{data}").load("train", 1, 8, CPU)


def test_masks_keep_their_classes_and_ignore_the_rest(tmp_path):
    samples = open_folder(f"ade20k:{made.masks(tmp_path / 'data')}").load("train", 1, 8, CPU)
    expected = torch.full((8, 8), IGNORE, dtype=torch.uint8)
    expected[:4, 4:] = 1
    assert torch.equal(samples.masks[0], expected)


def test_labels_follow_the_folders(tmp_path):
    samples = open_folder(f"imagefolder:{made.folders(tmp_path / 'data')}").load("train", 2, 6, CPU)
    assert [int(samples.images[n].max()) // 255 for n in range(2)] == samples.labels.tolist()


def _bmp(root: Path, value: int) -> Path:
    for split in ("train", "val"):
        for name in ("cat", "dog"):
            made.picture(root / split / name / "0.bmp", 8, 6, (value, value, value))
    return root


def test_pictures_of_equal_names_and_sizes_are_not_taken_for_each_other(tmp_path):
    for value in (10, 200):
        samples = open_folder(f"imagefolder:{_bmp(tmp_path / str(value), value)}").load("train", 2, 6, CPU)
        assert samples.images.float().mean() == value


_SEEN = """
import sys, torch
from piip_explore import proxy
from piip_explore.proxy.data import open_folder
source = open_folder("ade20k:" + sys.argv[1])
masks = source.load("train", 1, 8, torch.device("cpu")).masks
print(masks.unique().tolist(), proxy.preset("demo@ade20k:" + sys.argv[1]).hash)
"""


@pytest.mark.slow
def test_masks_corrected_in_place_are_read_again(tmp_path):
    data = made.masks(tmp_path / "data")
    seen = []
    for value in (1, 2):
        path = data / "annotations/training/a.png"
        Image.new("L", (8, 4), value).save(path)
        os.utime(path, (1, 1))  # as tools that keep the times of files do
        run = subprocess.run(
            [sys.executable, "-c", _SEEN, str(data)], capture_output=True, text=True, check=True, timeout=300
        )
        seen.append(run.stdout.split("] "))
    assert [values for values, _ in seen] == ["[0, 255", "[1, 255"]
    assert seen[0][1] != seen[1][1]  # a study of before is not one of now


@pytest.mark.parametrize("kind", sorted(made.MAKE))
def test_what_is_read_is_what_the_fingerprint_stands_for(kind, tmp_path):
    names = {}
    for part in ("", "train", "val"):
        root = made.MAKE[kind](tmp_path / f"{kind}{part}")
        pictures = [path for path in sorted(root.rglob("*.*g")) if part and part in str(path.relative_to(root))]
        for path in pictures[:1]:
            Image.open(path).copy().point(lambda v: 1 - min(v, 1)).save(path)
        names[part] = open_folder(f"{kind}:{root}").fingerprint(9, 9)
    assert len(set(names.values())) == 3


def test_annotations_count_in_the_fingerprint(tmp_path):
    data = made.coco(tmp_path / "data")
    other = made.coco(tmp_path / "other")
    path = other / "annotations/instances_val2017.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=1))
    assert open_folder(f"coco:{data}").fingerprint(2, 2) != open_folder(f"coco:{other}").fingerprint(2, 2)


def test_presets_take_own_data_that_fit_their_task(tmp_path):
    data = made.masks(tmp_path / "data")
    own = proxy.preset(f"demo@ade20k:{data}")
    assert own.hash != proxy.preset("demo").hash
    assert own.data.classes("masks") == ("wall", "sky")
    with pytest.raises(InputError, match="needs masks"):
        proxy.preset(f"demo@coco:{made.coco(tmp_path / 'boxes')}")
    for wrong in ("demo@video:/tmp", "demo@coco:/nowhere", "dmo"):
        with pytest.raises(InputError, match=r"dmo|video|nowhere"):
            proxy.preset(wrong)

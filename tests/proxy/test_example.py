"""The folder that is made to try things on: it is what `data check` wants, and shows what the scenes hold."""

import numpy as np
import pytest
import torch
from PIL import Image

from piip_explore.cli import main
from piip_explore.datasets import SPLITS, Coco, Masks
from piip_explore.proxy import preset


def test_the_example_is_coco_data(tmp_path, capsys):
    root = tmp_path / "scenes"
    main(["data", "example", str(root), "--train", "4", "--val", "2", "--size", "64"])
    assert f"coco:{root}" in capsys.readouterr().out
    data, scenes = Coco(root), preset("demo").data
    assert data.classes == scenes.classes("boxes")
    assert data.check() == []
    for split, count in zip(SPLITS, (4, 2), strict=True):
        samples = scenes.load(split, count, 64, torch.device("cpu"))
        rows = data.split(split)
        assert len(rows) == count
        for row in range(count):
            picture, boxes = rows.read(row)
            mine = slice(int(samples.box_start[row]), int(samples.box_start[row + 1]))
            assert np.array_equal(np.asarray(picture), samples.images[row].permute(1, 2, 0).numpy())
            assert np.allclose(boxes[:, :4], samples.boxes[mine].numpy(), atol=0.02)
            assert boxes[:, 4].tolist() == samples.box_classes[mine].tolist()


def test_the_example_may_have_masks_instead_of_boxes(tmp_path, capsys):
    root = tmp_path / "scenes"
    main(["data", "example", str(root), "--kind", "ade20k", "--train", "3", "--val", "2", "--size", "64"])
    assert f"ade20k:{root}" in capsys.readouterr().out
    data, scenes = Masks(root), preset("demo").data
    assert data.classes == scenes.classes("masks")
    assert data.check() == []
    for split, count in zip(SPLITS, (3, 2), strict=True):
        samples, rows = scenes.load(split, count, 64, torch.device("cpu")), data.split(split)
        assert len(rows) == count
        for row in range(count):
            picture, index = rows.read(row)
            assert np.array_equal(np.asarray(picture), samples.images[row].permute(1, 2, 0).numpy())
            assert np.array_equal(index, samples.masks[row].numpy())


def test_nothing_is_overwritten(tmp_path, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "mine.png")
    for folder, kind in ((tmp_path, "coco"), (tmp_path / "mine.png", "coco"), (tmp_path, "ade20k")):
        with pytest.raises(SystemExit) as ended:
            main(["data", "example", str(folder), "--kind", kind])
        assert ended.value.code == 2
        assert "choose another" in capsys.readouterr().err

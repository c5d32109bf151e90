"""COCO data: read as tools write them, and every entry that cannot be right named."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from piip_explore.datasets import Coco
from piip_explore.errors import InputError
from tests.datasets import made


def _of_all(entries, **change):
    for entry in entries:
        entry.update(change)


READ = {
    "ids as texts": lambda c: (
        [i.update(id=str(i["id"])) for i in c["images"] + c["categories"]],
        [a.update(image_id=str(a["image_id"]), category_id=str(a["category_id"])) for a in c["annotations"]],
    ),
    "ids as texts on one side": lambda c: [a.update(image_id=str(a["image_id"])) for a in c["annotations"]],
    "ids as floats": lambda c: [a.update(image_id=float(a["image_id"])) for a in c["annotations"]],
    "iscrowd as text": lambda c: (c["annotations"][0].update(iscrowd="0"), c["annotations"][1].update(iscrowd="1")),
    "iscrowd as bool": lambda c: (c["annotations"][0].update(iscrowd=False), c["annotations"][1].update(iscrowd=True)),
    "iscrowd null": lambda c: c["annotations"][0].update(iscrowd=None),
    "bbox as texts": lambda c: c["annotations"][0].update(bbox=["10", "10", "40", "20"]),
    "sizes": lambda c: (c["images"][0].update(width="80", height=40), c["images"][1].update(width=None, height=-1)),
}


@pytest.mark.parametrize("case", READ)
def test_what_tools_write_is_read(case, tmp_path):
    root = made.coco(tmp_path)
    made.edit(root, READ[case])
    data = Coco(root)
    assert data.check() == []
    assert data.classes == ("car", "dog")
    rows = data.split("train")
    assert [rows.read(row)[1].tolist() for row in range(2)] == [[[10, 10, 50, 30, 1]], []]


def _first(**change):
    return lambda c: c["annotations"][0].update(change)


ODD = {
    "no bbox": (lambda c: c["annotations"][0].pop("bbox"), r"annotation 1 of 2 \(id 1\) has no bbox"),
    "bbox empty": (_first(bbox=[]), r"annotation 1 of 2 \(id 1\) has bbox \[\]: expected four numbers"),
    "bbox null": (_first(bbox=None), "has no bbox"),
    "bbox an object": (_first(bbox={"x": 1}), "expected four numbers"),
    "bbox of lists": (_first(bbox=[[1], 2, 3, 4]), "expected four numbers"),
    "bbox NaN": (_first(bbox=[math.nan, 1, 9, 9]), "expected four numbers"),
    "bbox infinite": (_first(bbox=[1, 1, math.inf, 9]), "expected four numbers"),
    "bbox of an integer without end": (_first(bbox=[1, 1, 10**400, 9]), "expected four numbers"),
    "image_id a list": (_first(image_id=[7]), r"has image_id \[7\]: expected a whole number"),
    "image_id a bool": (_first(image_id=True), "expected a whole number"),
    "image_id NaN": (_first(image_id=math.nan), "expected a whole number"),
    "image_id missing": (lambda c: c["annotations"][0].pop("image_id"), "has no image_id"),
    "image_id unknown": (_first(image_id=8), "belongs to image 8, which is not listed"),
    "category_id unknown": (_first(category_id=5), "has category 5, which is not listed"),
    "category_id missing": (lambda c: c["annotations"][0].pop("category_id"), "has no category_id"),
    "iscrowd a word": (_first(iscrowd="maybe"), "has iscrowd 'maybe': expected 0 or 1"),
    "iscrowd a list": (_first(iscrowd=[]), "expected 0 or 1"),
    "annotation a number": (lambda c: c["annotations"].append(4), "annotation 3 of 3 is 4"),
    "image a text": (lambda c: c["images"].append("b.png"), "image 3 of 3 is 'b.png'"),
    "file_name missing": (lambda c: c["images"][0].pop("file_name"), "image 1 of 2 has file_name None"),
    "file_name a number": (lambda c: c["images"][0].update(file_name=4), "has file_name 4: expected a name"),
    "file_name empty": (lambda c: c["images"][0].update(file_name=""), "expected a name"),
    "file_name with NUL": (lambda c: c["images"][0].update(file_name="a\0.png"), "there is no picture"),
    "file_name half a letter": (lambda c: c["images"][0].update(file_name="\ud800.png"), "there is no picture"),
    "file_name too long": (lambda c: c["images"][0].update(file_name="a" * 300), "cannot read"),
    "an image's id twice": (
        lambda c: c["images"][1].update(id=7),
        r"'b\.png'\) has the id 7, which is that of 'a\.png'",
    ),
    "a category's id twice": (
        lambda c: c["categories"][1].update(id=18),
        "'car'.* has the id 18, which is that of 'dog'",
    ),
    "a category's name missing": (lambda c: c["categories"][0].pop("name"), "category 1 of 2 has name None"),
    "ids that are words": (lambda c: c["images"][0].update(id="ab1z"), "has id 'ab1z': expected a whole number"),
    "no annotations": (lambda c: c.pop("annotations"), "has no list 'annotations'"),
    "crowds alone": (_first(iscrowd=1), "has no annotations, other than of crowds"),
    "a dict of categories": (lambda c: c.update(categories={"1": "dog"}), "has no list 'categories'"),
    "an empty list of images": (lambda c: c.update(images=[]), "has no images"),
}


@pytest.mark.parametrize("case", ODD)
def test_an_odd_entry_is_named(case, tmp_path):
    root = made.coco(tmp_path)
    change, words = ODD[case]
    made.edit(root, change)
    with pytest.raises(InputError, match=words) as refusal:
        Coco(root).check()
    assert len(str(refusal.value)) < 500 + len(str(root))


@pytest.mark.parametrize("text", ["[" * 100_000, "{", "[]", "7", '"text"', "\xff"])
def test_what_is_no_coco_file_is_said(text, tmp_path):
    root = made.coco(tmp_path)
    (root / "annotations/instances_val2017.json").write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"instances_val2017\.json' is not a COCO json file"):
        Coco(root).check()


LOST = {
    "shares of the image": [0.1, 0.1, 0.3, 0.3],
    "negative sizes": [30, 30, -10, -10],
    "outside the image": [100, 100, 200, 200],
    "no area": [10, 10, 0, 5],
}


@pytest.mark.parametrize("case", LOST)
def test_boxes_that_are_all_lost_are_refused_and_one_is_counted(case, tmp_path):
    root = made.coco(tmp_path)
    made.edit(root, lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": LOST[case]}))
    (remark,) = Coco(root).judge("train")
    assert "1 of 2 boxes have less than a pixel within their image: left out" in remark
    made.edit(root, lambda c: c["annotations"].pop(0))
    with pytest.raises(InputError, match="none of 1 boxes has a pixel or more within its image"):
        Coco(root).judge("train")


def test_boxes_written_as_corners_are_noticed(tmp_path):
    root = made.coco(tmp_path)
    made.edit(root, _first(bbox=[50, 10, 80, 40]))
    (remark,) = Coco(root).judge("train")
    assert "1 of 1 boxes reach beyond their image: cut off at its edges" in remark


def test_boxes_too_small_for_the_smallest_presets_are_noticed(tmp_path):
    root = made.coco(tmp_path)
    made.picture(root / "train2017/a.png", 1280, 640)
    made.edit(root, lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [10, 10, 9, 30]}))
    (remark,) = Coco(root).judge("train")
    assert "1 of 2 boxes have less than a pixel in images loaded at 128 pixels" in remark


def test_pictures_of_another_size_than_the_json_says_are_refused(tmp_path):
    root = made.coco(tmp_path)
    made.edit(root, lambda c: _of_all(c["images"], width=640, height=480))
    with pytest.raises(InputError, match=r"image 1 of .*train2017\.json' is 640 x 480, its image .*a\.png' 80 x 40"):
        Coco(root).judge("train")


def test_names_that_several_share_are_remarked(tmp_path):
    root = made.coco(tmp_path)
    for split in ("train", "val"):
        made.edit(root, lambda c: _of_all(c["categories"], name="dog"), split)
    made.edit(root, lambda c: _of_all(c["images"], file_name="a.png"))
    remarks = Coco(root).check()
    assert any("several categories" in remark and "'dog'" in remark for remark in remarks)
    assert any("several images" in remark and "'a.png'" in remark for remark in remarks)


def test_a_turned_photograph_meets_its_boxes(tmp_path):
    root = made.coco(tmp_path)
    upright = np.zeros((80, 40, 3), np.uint8)
    upright[50:70, 5:25] = 255
    exif = Image.Exif()
    exif[274] = 6
    stored = Image.fromarray(upright).transpose(Image.Transpose.ROTATE_90)
    stored.save(root / "train2017/a.png", exif=exif)
    made.edit(root, lambda c: c["images"][0].update(width=40, height=80))
    made.edit(root, _first(bbox=[5, 50, 20, 20]))
    picture, boxes = Coco(root).split("train").read(0)
    x0, y0, x1, y1 = boxes[0, :4].astype(int)
    assert (np.asarray(picture)[y0:y1, x0:x1] == 255).all()
    made.edit(root, lambda c: c["images"][0].update(width=80, height=40))  # now drawn on the picture as it is stored
    made.edit(root, _first(bbox=[50, 15, 20, 20]))
    picture, boxes = Coco(root).split("train").read(0)
    x0, y0, x1, y1 = boxes[0, :4].astype(int)
    assert (np.asarray(picture)[y0:y1, x0:x1] == 255).all()


def test_a_json_file_that_changes_is_read_again(tmp_path):
    root = made.coco(tmp_path)
    assert Coco(root).classes == ("car", "dog")
    for split in ("train", "val"):
        made.edit(root, lambda c: c["categories"][0].update(name="hare"), split)
    assert Coco(root).classes == ("car", "hare")


def test_a_byte_order_mark_is_not_read(tmp_path):
    root = made.coco(tmp_path)
    path = root / "annotations/instances_val2017.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(json.loads(path.read_text())).encode())
    assert Coco(root).check() == []

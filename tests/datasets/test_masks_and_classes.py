"""Masks and class folders: read right, and every way to be wrong named."""

import numpy as np
import pytest
from PIL import Image

from piip_explore.datasets import IGNORE, ClassFolders, Masks
from piip_explore.errors import InputError
from tests.datasets import made


def _mask(root, values, split="training"):
    Image.fromarray(np.full((4, 8), values)).save(root / f"annotations/{split}/a.png")


WRONG_MASKS = {
    "several channels": (lambda r: Image.new("RGB", (8, 4)).save(r / "annotations/training/a.png"), "has RGB pixels"),
    "another size": (lambda r: Image.new("L", (16, 8)).save(r / "annotations/training/a.png"), "is 16 x 8, its image"),
    "transposed": (lambda r: Image.new("L", (4, 8)).save(r / "annotations/training/a.png"), "is 4 x 8, its image"),
    "class 255": (lambda r: _mask(r, np.uint8(255)), "has class 255: there are 2"),
    "a class too many": (lambda r: _mask(r, np.uint8(3)), "has class 3: there are 2"),
    "class 700": (lambda r: _mask(r, np.uint16(700)), "has class 700"),
}


@pytest.mark.parametrize("case", WRONG_MASKS)
def test_a_mask_that_does_not_fit_is_named_by_check_and_by_reading(case, tmp_path):
    root = made.masks(tmp_path)
    change, words = WRONG_MASKS[case]
    change(root)
    for read in (lambda: Masks(root).judge("train"), lambda: Masks(root).split("train").read(0)):
        with pytest.raises(InputError, match=words) as refusal:
            read()
        assert "annotations/training/a.png" in str(refusal.value)


def test_a_class_of_one_pixel_is_seen(tmp_path):
    root = made.masks(tmp_path)
    values = np.zeros((4, 8), np.uint8)
    values[3, 7] = 9
    _mask(root, values)
    with pytest.raises(InputError, match="has class 9"):
        Masks(root).judge("train")


@pytest.mark.parametrize("orientation", [6, 8])
@pytest.mark.parametrize("shown", [True, False])
def test_a_mask_follows_its_picture_as_shown_or_as_stored(orientation, shown, tmp_path):
    root = made.masks(tmp_path)
    stored = np.zeros((4, 8), np.uint8)
    stored[1:, 6:] = 1
    exif = Image.Exif()
    exif[274] = orientation
    path = root / "images/training/a.png"
    (root / "images/training/a.jpg").unlink()
    Image.fromarray(stored * 255).save(path, exif=exif)
    turns = {6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90}
    mask = Image.fromarray(stored + 1)
    (mask.transpose(turns[orientation]) if shown else mask).save(root / "annotations/training/a.png")
    picture, index = Masks(root).split("train").read(0)
    assert np.array_equal(np.asarray(picture)[..., 0] == 255, index == 1)


@pytest.mark.parametrize(("split", "folder"), [("train", "training"), ("val", "validation")])
def test_masks_that_are_all_empty_are_refused_and_one_is_not(split, folder, tmp_path):
    root = made.masks(tmp_path)
    made.picture(root / "images" / folder / "b.png", 8, 4)
    Image.new("L", (8, 4), 0).save(root / "annotations" / folder / "b.png")
    assert Masks(root).judge(split) == []
    _mask(root, np.uint8(0), folder)
    assert (Masks(root).split(split).read(0)[1] == IGNORE).all()
    with pytest.raises(InputError, match=rf"no mask in '.*annotations/{folder}' has a class: every pixel is 0"):
        Masks(root).judge(split)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"\xef\xbb\xbfwall\r\nsky\r\n\r\n", ("wall", "sky")),
        ("Mauer\nTür\n".encode(), ("Mauer", "Tür")),
        ("Tür\n".encode("latin-1"), "is not UTF-8 text"),
        ("wall\nsky".encode("utf-16"), "is not UTF-8 text"),
        (b"wall\n\nsky\n", "line 2 is empty"),
        (b"", "0 lines"),
    ],
)
def test_class_names_in_a_text(content, names, tmp_path):
    root = made.masks(tmp_path)
    (root / "classes.txt").write_bytes(content)
    if isinstance(names, tuple):
        assert Masks(root).classes == names
    else:
        with pytest.raises(InputError, match=rf"classes\.txt' ?.*{names}"):
            Masks(root).check()


def test_two_pictures_do_not_share_a_mask(tmp_path):
    root = made.masks(tmp_path)
    made.picture(root / "images/training/a.png", 8, 4)
    with pytest.raises(InputError, match=r"a\.png' and '.*a\.jpg' have the same mask"):
        Masks(root).check()


def test_hidden_files_and_folders_are_left_out(tmp_path):
    root = made.folders(tmp_path / "classes")
    (root / "train/cat/._1.png").write_bytes(b"\0\5\x16\7")
    made.picture(root / "train/.ipynb_checkpoints/1-checkpoint.png", 8, 8)
    made.picture(root / "val/dog/.ipynb_checkpoints/1-checkpoint.png", 8, 8)
    data = ClassFolders(root)
    assert data.check() == []
    assert [data.judge(split) for split in ("train", "val")] == [[], []]
    assert [path.name for path in data.split("train").files(range(2))] == ["1.png", "1.png"]
    root = made.masks(tmp_path / "masks")
    (root / "images/training/._a.jpg").write_bytes(b"\0\5\x16\7")
    assert Masks(root).check() == []


def test_pictures_that_are_not_read_are_remarked(tmp_path):
    root = made.folders(tmp_path)
    for name in ("2.heic", "3.HEIC", "4.gif", "Thumbs.db", "notes.txt"):
        (root / "train/cat" / name).write_bytes(b"")
    (remark,) = ClassFolders(root).check()
    assert "2 .heic, 1 .gif" in remark


def test_classes_differ_by_name(tmp_path):
    root = made.folders(tmp_path)
    (root / "train/cat").rename(root / "train/cow")
    with pytest.raises(InputError, match=r"class 'cat' has a folder in '.*val' and none in '.*train'"):
        ClassFolders(root).check()

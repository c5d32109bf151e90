"""`piip-explore data check`: it passes what training will read, and nothing else; soon, and in a sentence."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from piip_explore.cli import main
from tests.datasets import made


def check(*arguments: str) -> int:
    try:
        main(["data", "check", *arguments])
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


@pytest.mark.parametrize("kind", sorted(made.MAKE))
def test_good_data_pass(kind, tmp_path, capsys):
    assert check(f"{kind}:{made.MAKE[kind](tmp_path)}") == 0
    said = capsys.readouterr().out
    assert "of 2 classes, nothing amiss" in said
    assert "training and" in said
    assert "all read" in said


def _truncate(root):
    path = root / "train" / "cat" / "1.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 80, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])


DAMAGED = {
    "a truncated picture": ("imagefolder", _truncate, "train/cat/1.png"),
    "no picture": ("coco", lambda d: (d / "val2017/b.png").write_bytes(b"no picture"), "val2017/b.png"),
    "an empty picture": ("ade20k", lambda d: (d / "images/validation/a.jpg").write_bytes(b""), "validation/a.jpg"),
    "an RGB mask": (
        "ade20k",
        lambda d: Image.new("RGB", (8, 4)).save(d / "annotations/validation/a.png"),
        "annotations/validation/a.png",
    ),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_damage_inside_pictures_is_found_and_a_quick_check_says_that_it_did_not_look(case, tmp_path, capsys):
    kind, damage, named = DAMAGED[case]
    damage(made.MAKE[kind](tmp_path))
    assert check(f"{kind}:{tmp_path}") == 2
    (answer,) = capsys.readouterr().err.splitlines()
    assert named in answer
    assert check(f"{kind}:{tmp_path}", "--quick") == 0
    assert "not opened" in capsys.readouterr().out


NAMES = {
    "a missing picture": ("coco", lambda d: (d / "train2017/a.png").unlink(), "train2017/a.png"),
    "a missing json file": ("coco", lambda d: (d / "annotations/instances_val2017.json").unlink(), "instances_val"),
    "a category less": ("coco", lambda d: made.edit(d, lambda c: c["categories"].pop(1), "val"), "'car' differs"),
    "a missing mask": ("ade20k", lambda d: (d / "annotations/training/a.png").unlink(), "a.jpg' has no mask"),
    "no pictures": ("ade20k", lambda d: (d / "images/validation/a.jpg").unlink(), "no pictures"),
    "a class without pictures": ("imagefolder", lambda d: (d / "val/dog/1.png").rename(d / "val/1.png"), "dog"),
}


@pytest.mark.parametrize("case", NAMES)
def test_what_is_missing_is_named_without_opening_pictures(case, tmp_path, capsys):
    kind, damage, named = NAMES[case]
    damage(made.MAKE[kind](tmp_path))
    assert check(f"{kind}:{tmp_path}", "--quick") == 2
    assert named in capsys.readouterr().err


def test_a_note_is_no_failure_and_no_silence(tmp_path, capsys):
    root = made.coco(tmp_path)
    made.edit(root, lambda c: c["annotations"].append(c["annotations"][0] | {"bbox": [0, 0, 0.5, 0.5]}))
    assert check(f"coco:{root}") == 0
    said = capsys.readouterr().out
    assert "note: " in said
    assert "1 of 2 boxes have less than a pixel" in said
    assert "1 note above" in said
    assert "nothing amiss" not in said


def test_a_check_waits_for_no_torch_and_prints_one_line(tmp_path):
    path = made.coco(tmp_path) / "train2017/a.png"
    Image.open(path).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")  # Pillow warns of it, and it harms nothing
    script = "import sys; from piip_explore.cli import main; main(sys.argv[1:]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", script, "data", "check", f"coco:{tmp_path}"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, env=os.environ)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines()[-1] == "False"
    assert run.stderr == ""  # no bar where nobody watches, no warnings of what is inside good pictures
    assert len(run.stdout.splitlines()) == 2


def test_names_that_no_terminal_should_print_are_escaped(tmp_path, capsys):
    root = made.folders(tmp_path / os.fsdecode(b"caf\xe9\x1b[31m"))
    (root / "train/cat/\x1b[2J.gif").write_bytes(b"")
    assert check(f"imagefolder:{root}") == 0
    said = capsys.readouterr().out
    assert said.isascii()
    assert "\x1b" not in said
    assert "1 note above" in said

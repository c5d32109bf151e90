"""The picture of samples, and the command that writes it."""

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from piip_explore.cli.data import command
from piip_explore.proxy.data import EmbeddedScenes, SceneRules
from piip_explore.proxy.data.drawing import colors
from piip_explore.proxy.data.preview import preview


def test_every_sample_has_a_tile_and_every_box_its_colour():
    source = EmbeddedScenes(SceneRules(digits=1, crowd=2, clutter=0, smallest=0.4))
    sheet = np.asarray(preview(source, "train", 3, 64))
    samples = source.load("train", 3, 64, torch.device("cpu"))
    assert sheet.shape == (2 * 276 + 6, 2 * 262 + 6, 3)
    palette = colors(len(source.classes("boxes")))
    for n in range(3):
        top, left = 6 + n // 2 * 276, 6 + n % 2 * 262
        tile = sheet[top : top + 256, left : left + 256]
        rows = slice(int(samples.box_start[n]), int(samples.box_start[n + 1]))
        for kind in samples.box_classes[rows].unique().tolist():
            assert (tile == palette[kind]).all(-1).any(), (n, kind)


def test_colours_differ():
    assert len({tuple(c) for c in colors(150).tolist()}) > 140


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_command_writes_a_picture(split, tmp_path):
    out = tmp_path / "seen.png"
    arguments = ["preview", "--count", "2", "--size", "32", "--split", split, "--out", str(out)]
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert Image.open(out).size == (2 * 262 + 6, 276 + 6)

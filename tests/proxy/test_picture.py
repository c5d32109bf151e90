"""Pictures of predictions: what is in them, and how much they weigh."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from piip_explore.proxy import picture, preset
from piip_explore.proxy.data.source import make_samples
from piip_explore.proxy.tasks import Predicted

TILE, STEP = 112, 114


def drawn(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)


def tile(pixels, column, line):
    return pixels[line * STEP : line * STEP + TILE, column * STEP : column * STEP + TILE]


def colourful(pixels):
    return (pixels.max(-1) - pixels.min(-1) > 40).mean()


def test_the_truth_is_above_and_the_prediction_below():
    images = torch.full((2, 3, 32, 32), 128, dtype=torch.uint8)
    masks = torch.zeros(2, 32, 32, dtype=torch.uint8)
    masks[0, :16] = 1
    truth = make_samples(images, masks=masks)
    predicted = Predicted(replace(truth, masks=torch.zeros_like(masks)), torch.tensor([0.75, 1.0]))
    pixels = drawn(picture.picture(truth, predicted, ("background", "ball"), "masks"))
    assert pixels.shape == (2 * STEP - 2, 2 * STEP - 2, 3)
    assert colourful(tile(pixels, 0, 0)) == pytest.approx(0.5, abs=0.05)
    assert colourful(tile(pixels, 1, 0)) == colourful(tile(pixels, 0, 1)) == colourful(tile(pixels, 1, 1)) == 0


def test_boxes_are_outlined():
    images = torch.full((1, 3, 32, 32), 128, dtype=torch.uint8)
    box = {"boxes": torch.tensor([[8.0, 8, 24, 24]]), "box_classes": torch.tensor([0])}
    truth = make_samples(images, **box, box_start=torch.tensor([0, 1]))
    nothing = make_samples(images, box_start=torch.tensor([0, 0]))
    pixels = drawn(picture.picture(truth, Predicted(nothing, torch.zeros(1)), ("ball",), "boxes"))
    assert colourful(tile(pixels, 0, 0)) > 0
    assert colourful(tile(pixels, 0, 0)[32:80, 32:80]) == 0
    assert colourful(tile(pixels, 0, 1)) == 0


def test_labels_are_written_whatever_their_letters():
    images = torch.zeros(5, 3, 32, 32, dtype=torch.uint8)
    truth = make_samples(images, labels=torch.zeros(5, dtype=torch.int64))
    predicted = Predicted(replace(truth, labels=truth.labels + 1), torch.full((5,), 0.5))
    pixels = drawn(picture.picture(truth, predicted, ("ボール", "b" * 50), "labels"))
    assert pixels.shape[1] == picture.IMAGES * STEP - 2
    above, below = (tile(pixels, 0, line) for line in (0, 1))
    assert above.max() > 200
    assert below.max() > 200
    assert np.abs(above - below).max() > 100


def test_a_picture_weighs_a_few_kilobytes():
    recipe = preset("demo")
    truth = recipe.data.load("val", 4, recipe.size, torch.device("cpu"))
    content = picture.picture(truth, Predicted(truth, torch.ones(4)), recipe.data.classes("masks"), "masks")
    assert 1000 < len(content) < 8000

"""Annotations drawn into images: masks as coloured overlays, boxes as outlines, a colour per class."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from PIL import ImageDraw

from piip_explore.proxy.data.source import IGNORE, Samples

_SEEN = 0.45
"""Share of the class colour in a mask's overlay."""


def colors(count: int) -> np.ndarray:
    """Return (count, 3) uint8 colours that are easy to tell apart."""
    hues = (np.arange(count) * 0.618034) % 1
    return np.array([[round(255 * c) for c in colorsys.hsv_to_rgb(h, 0.8, 1)] for h in hues], np.uint8)


def overlay(picture: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return a picture (H, W, 3) with its mask (H, W) laid over it; background and ignored pixels stay as they are."""
    palette = colors(len(names))
    first = 1 if names[0] == "background" else 0
    drawn = (mask >= first) & (mask != IGNORE)
    result = picture.copy()
    result[drawn] = ((1 - _SEEN) * picture[drawn] + _SEEN * palette[mask[drawn]]).astype(np.uint8)
    return result


def draw_boxes(draw: ImageDraw.ImageDraw, samples: Samples, row: int, names: Sequence[str], side: int) -> None:
    """Outline the boxes of one sample in a picture of it that is `side` pixels wide and high."""
    palette = colors(len(names))
    for box, kind in _boxes(samples, row, side):
        draw.rectangle(box, outline=tuple(int(c) for c in palette[kind]))


def name_boxes(draw: ImageDraw.ImageDraw, samples: Samples, row: int, names: Sequence[str], side: int) -> None:
    """Write the class of every box of one sample above it."""
    palette = colors(len(names))
    for (x0, y0, _, _), kind in _boxes(samples, row, side):
        color = tuple(int(c) for c in palette[kind])
        draw.text((x0 + 2, max(0, y0 - 11)), names[kind], fill=color, stroke_width=1, stroke_fill="black")


def _boxes(samples: Samples, row: int, side: int) -> list[tuple[tuple[float, float, float, float], int]]:
    """Return the boxes of one sample in pixels of its picture, and their classes."""
    scale = side / samples.size
    rows = slice(int(samples.box_start[row]), int(samples.box_start[row + 1]))
    found = []
    for box, kind in zip(samples.boxes[rows].tolist(), samples.box_classes[rows].tolist(), strict=True):
        x0, y0, x1, y1 = (scale * v for v in box)
        found.append(((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), kind))
    return found

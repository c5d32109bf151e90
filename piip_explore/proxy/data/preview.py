"""A picture of samples with their annotations drawn in, to see what a proxy is trained on."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from piip_explore.proxy.data.source import IGNORE, Annotation, DataSource, Samples, Split

_TILE = 256
_MARGIN = 6
_LINE = 14
_SEEN = 0.45
"""Share of the class colour in a mask's overlay."""


def preview(source: DataSource, split: Split, count: int, size: int) -> Image.Image:
    """Return `count` samples of `size` pixels in a grid, each with its masks or boxes and the names of its classes."""
    samples = source.load(split, count, size, torch.device("cpu"))
    # Boxes can name their objects in place; where there are none, masks or the label speak.
    kind: Annotation = next(a for a in ("boxes", "masks", "labels") if a in source.provides)
    tiles = [_tile(samples, row, source, kind) for row in range(len(samples))]
    columns = math.ceil(math.sqrt(len(tiles)))
    lines = math.ceil(len(tiles) / columns)
    step_x, step_y = _TILE + _MARGIN, _TILE + _LINE + _MARGIN
    sheet = Image.new("RGB", (columns * step_x + _MARGIN, lines * step_y + _MARGIN), "white")
    for n, tile in enumerate(tiles):
        sheet.paste(tile, (_MARGIN + n % columns * step_x, _MARGIN + n // columns * step_y))
    return sheet


def colors(count: int) -> np.ndarray:
    """Return (count, 3) uint8 colours that are easy to tell apart."""
    hues = (np.arange(count) * 0.618034) % 1
    return np.array([[round(255 * c) for c in colorsys.hsv_to_rgb(h, 0.8, 1)] for h in hues], np.uint8)


def _tile(samples: Samples, row: int, source: DataSource, kind: Annotation) -> Image.Image:
    picture = samples.images[row].permute(1, 2, 0).numpy()
    if "masks" in source.provides:
        picture = _overlay(picture, samples.masks[row].numpy(), source.classes("masks"))
    tile = Image.new("RGB", (_TILE, _TILE + _LINE), "white")
    tile.paste(Image.fromarray(picture).resize((_TILE, _TILE), Image.Resampling.NEAREST))
    draw = ImageDraw.Draw(tile)
    names = source.classes(kind)
    if kind == "boxes":
        _draw_boxes(draw, samples, row, names)
        return tile
    shown = [names[samples.labels[row]]] if kind == "labels" else _named(samples.masks[row].numpy(), names)
    draw.text((2, _TILE + 1), ", ".join(shown), fill="black")
    return tile


def _overlay(picture: np.ndarray, mask: np.ndarray, names: Sequence[str]) -> np.ndarray:
    palette = colors(len(names))
    first = 1 if names[0] == "background" else 0
    drawn = (mask >= first) & (mask != IGNORE)
    result = picture.copy()
    result[drawn] = ((1 - _SEEN) * picture[drawn] + _SEEN * palette[mask[drawn]]).astype(np.uint8)
    return result


def _named(mask: np.ndarray, names: Sequence[str]) -> list[str]:
    return [names[n] for n in np.unique(mask) if n != IGNORE]


def _draw_boxes(draw: ImageDraw.ImageDraw, samples: Samples, row: int, names: Sequence[str]) -> None:
    palette = colors(len(names))
    scale = _TILE / samples.size
    rows = slice(int(samples.box_start[row]), int(samples.box_start[row + 1]))
    for box, kind in zip(samples.boxes[rows].tolist(), samples.box_classes[rows].tolist(), strict=True):
        x0, y0, x1, y1 = (scale * v for v in box)
        color = tuple(int(c) for c in palette[kind])
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=color)
        draw.text((x0 + 2, max(0, y0 - 11)), names[kind], fill=color, stroke_width=1, stroke_fill="black")

"""A picture of samples with their annotations drawn in, to see what a proxy is trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from piip_explore.proxy.data.drawing import draw_boxes, name_boxes, overlay
from piip_explore.proxy.data.source import IGNORE, Annotation, DataSource, Samples, Split

_TILE = 256
_MARGIN = 6
_LINE = 14


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


def _tile(samples: Samples, row: int, source: DataSource, kind: Annotation) -> Image.Image:
    picture = samples.images[row].permute(1, 2, 0).numpy()
    if "masks" in source.provides:
        picture = overlay(picture, samples.masks[row].numpy(), source.classes("masks"))
    tile = Image.new("RGB", (_TILE, _TILE + _LINE), "white")
    tile.paste(Image.fromarray(picture).resize((_TILE, _TILE), Image.Resampling.NEAREST))
    draw = ImageDraw.Draw(tile)
    names = source.classes(kind)
    if kind == "boxes":
        draw_boxes(draw, samples, row, names, _TILE)
        name_boxes(draw, samples, row, names, _TILE)
        return tile
    shown = [names[samples.labels[row]]] if kind == "labels" else _named(samples.masks[row].numpy(), names)
    draw.text((2, _TILE + 1), ", ".join(shown), fill="black")
    return tile


def _named(mask: np.ndarray, names: Sequence[str]) -> list[str]:
    return [names[n] for n in np.unique(mask) if n != IGNORE]

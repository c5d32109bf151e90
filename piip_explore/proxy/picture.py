"""A picture of what a run predicted: the first held-out images, above with the truth and below with the prediction."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from piip_explore.proxy.data.drawing import draw_boxes, overlay
from piip_explore.proxy.data.source import Annotation, Samples
from piip_explore.proxy.tasks.task import Predicted

IMAGES = 4
_TILE = 112
_GAP = 2
_QUALITY = 45
_LONGEST_NAME = 18


def picture(truth: Samples, predicted: Predicted, names: Sequence[str], needs: Annotation) -> bytes:
    """Return a WebP file of a few kB: a column per image, what is annotated above, what is predicted below.

    Images are grey, so colours stand for classes; the confidence of the prediction is written below.

    Args:
        truth: the held-out samples, of which the first `IMAGES` are shown.
        predicted: what a model says of them.
        names: of the classes.
        needs: the annotation to show.
    """
    count = min(IMAGES, len(truth))
    step = _TILE + _GAP
    sheet = Image.new("RGB", (count * step - _GAP, 2 * step - _GAP), "gray")
    for row in range(count):
        sheet.paste(_tile(truth, row, names, needs, ""), (row * step, 0))
        sure = f"{100 * float(predicted.sure[row]):.0f} %"
        sheet.paste(_tile(predicted.samples, row, names, needs, sure), (row * step, step))
    file = io.BytesIO()
    sheet.save(file, "WEBP", quality=_QUALITY, method=6)
    return file.getvalue()


def _tile(samples: Samples, row: int, names: Sequence[str], needs: Annotation, said: str) -> Image.Image:
    """Return one image with its annotation and the words that are `said` of it."""
    pixels = samples.images[row].float().mean(0).to("cpu").numpy()
    shown = np.repeat(pixels.astype(np.uint8)[..., None], 3, axis=2)
    if needs == "masks":
        shown = overlay(shown, samples.masks[row].cpu().numpy(), names)
    tile = Image.fromarray(shown).resize((_TILE, _TILE), Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(tile)
    if needs == "boxes":
        draw_boxes(draw, samples, row, names, _TILE)
    if needs == "labels":
        name = names[int(samples.labels[row])][:_LONGEST_NAME].encode("ascii", "replace").decode()
        said = f"{name} {said}".strip()
    draw.text((3, _TILE - 14), said, fill="white", stroke_width=1, stroke_fill="black")
    return tile

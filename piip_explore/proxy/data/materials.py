"""The real images that embedded scenes are made of: handwritten digits, textures, photographs.

All come with the wheels of scikit-learn and scikit-image and are read by path, so nothing is ever downloaded. Training
and validation never share an instance: digits are split by instance, photographs by picture, and each texture
photograph is cut in two with a gap between the parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from piip_explore.proxy.data.source import Split

MASK_SIZE = 32
TEXTURES = ("brick", "grass", "gravel")
ELLIPSE, SQUARE = 0, 1
"""Rows of `Materials.masks` before the digits."""

# Pixels per cycle at the mean frequency of each 512-pixel photograph's spectrum; all textures are rescaled to one
# period, so that only their fine structure tells them apart.
_PERIOD = {"brick": 14.0, "grass": 6.5, "gravel": 10.0}
_PHOTOS: dict[Split, tuple[str, ...]] = {
    "train": (
        "china.jpg",
        "astronaut.png",
        "coffee.png",
        "ihc.png",
        "rocket.jpg",
        "coins.png",
        "camera.png",
        "moon.png",
    ),
    "val": ("flower.jpg", "chelsea.png", "retina.jpg", "hubble_deep_field.jpg"),
}
_VAL_DIGIT_EVERY = 4
_GAP = 16


@dataclass(frozen=True)
class Materials:
    """Banks that a scene's rows point into, of one split.

    `masks` is (M, 32, 32) float in 0..1: an ellipse, a square, then digits; `digit` is (M,), the digit that a mask
    shows or -1. `fills` is (F, 3, T, T) float in 0..1: photographs first (`photos` of them), then `TEXTURES` in order,
    each at two scales. Texture fills are grey, 0.5 on average, with equal contrast.
    """

    masks: Tensor
    digit: np.ndarray
    fills: Tensor
    photos: int


TEXTURE_SCALES = (1.0, 1.8)
FINEST = 42.0
"""Pixels per cycle of the finest textures in an image of 1792: below about 1000 pixels nothing of them is left."""


@cache
def materials(split: Split, size: int, finest: float = FINEST) -> Materials:
    """Return the banks of a split for scenes of `size` pixels; textures and photographs scale with the scene.

    `finest` is the period of the finest textures (pixels of 1792 per cycle).
    """
    tile = size * 3 // 2
    masks, digit = _masks(split)
    photos = [_photo(name, tile) for name in _PHOTOS[split]]
    period = finest * size / 1792
    textures = [_texture(name, split, tile, period * scale) for name in TEXTURES for scale in TEXTURE_SCALES]
    return Materials(masks, digit, torch.stack(photos + textures), len(photos))


def _masks(split: Split) -> tuple[Tensor, np.ndarray]:
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    held_out = np.arange(len(labels)) % _VAL_DIGIT_EVERY == 0
    keep = held_out if split == "val" else ~held_out
    strokes = torch.from_numpy(pictures[keep].reshape(-1, 1, 8, 8)).float() / 16
    digits = F.interpolate(strokes, (MASK_SIZE, MASK_SIZE), mode="bicubic", align_corners=False).clamp(0, 1)[:, 0]
    axis = (torch.arange(MASK_SIZE) + 0.5) / MASK_SIZE * 2 - 1
    radius = (axis[:, None] ** 2 + axis[None, :] ** 2).sqrt()
    ellipse = ((0.9 - radius) * 4 + 0.5).clamp(0, 1)
    square = torch.ones(MASK_SIZE, MASK_SIZE)
    masks = torch.cat([ellipse[None], square[None], digits])
    return masks, np.concatenate([np.full(2, -1), labels[keep]])


def _read(name: str) -> Tensor:
    """Return an embedded picture as (3, H, W) float in 0..1."""
    package = "sklearn" if name in ("china.jpg", "flower.jpg") else "skimage"
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    folder = "datasets/images" if package == "sklearn" else "data"
    picture = np.asarray(Image.open(Path(spec.origin).parent / folder / name).convert("RGB"))
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 255


def _resize(picture: Tensor, height: int, width: int) -> Tensor:
    resized = F.interpolate(picture[None], (height, width), mode="bilinear", antialias=True, align_corners=False)
    return resized[0]


def _photo(name: str, tile: int) -> Tensor:
    picture = _read(name)
    _, height, width = picture.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(picture[:, top : top + side, left : left + side], tile, tile).clamp(0, 1)


def _texture(name: str, split: Split, tile: int, period: float) -> Tensor:
    """Return a texture tile: rescaled to `period`, without its low frequencies, at a fixed contrast."""
    picture = _read(f"{name}.png").mean(0, keepdim=True)
    cut = picture.shape[-1] * 5 // 8
    part = picture[:, :, : cut - _GAP] if split == "train" else picture[:, :, cut + _GAP :]
    scale = period / _PERIOD[name]
    part = _resize(part, max(4, round(part.shape[1] * scale)), max(4, round(part.shape[2] * scale)))
    fine = part - _blur(part, period)
    fine = 0.5 + 0.18 * ((fine - fine.mean()) / fine.std()).clamp(-2.5, 2.5)
    while min(fine.shape[1:]) < tile:
        fine = torch.cat([fine, fine.flip(2)], 2) if fine.shape[2] < tile else fine
        fine = torch.cat([fine, fine.flip(1)], 1) if fine.shape[1] < tile else fine
    return fine[:, :tile, :tile].expand(3, tile, tile).contiguous()


def _blur(picture: Tensor, sigma: float) -> Tensor:
    reach = min(int(3 * sigma), min(picture.shape[1:]) - 1)
    steps = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (steps / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(picture[None], (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))[0]

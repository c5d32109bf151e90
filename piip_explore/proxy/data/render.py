"""Drawn scenes to pixels: images, class masks, boxes and labels, a batch at a time, on any device."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from piip_explore.proxy.data.materials import Materials
from piip_explore.proxy.data.scenes import Scenes
from piip_explore.proxy.data.source import Samples, make_samples

_VISIBLE = 0.25
"""An object has a box only if at least this share of it is visible."""


@torch.no_grad()
def render(scenes: Scenes, materials: Materials, size: int, device: torch.device) -> Samples:
    """Paint B scenes at `size` x `size` pixels and return them as `Samples` with every annotation.

    Masks hold 0 for background and bars, else 1 + kind; boxes hold the visible part of an object, with its kind as
    class; an image's label is the kind of its largest visible object.
    """
    columns = {name: torch.as_tensor(values).to(device) for name, values in vars(scenes).items()}
    background = columns.pop("background")
    masks, fills = materials.masks.to(device), materials.fills.to(device).permute(0, 2, 3, 1).contiguous()
    image = _background(background, fills, size)
    B, L = scenes.kind.shape
    instance = torch.full((B, size, size), L, dtype=torch.int64, device=device)
    painted = torch.zeros(B, L, device=device)
    for number in range(L):
        drawn = torch.nonzero(columns["kind"][:, number] > -2)[:, 0]
        layer = {name: values[drawn, number] for name, values in columns.items()}
        alpha, quarter = _shape(layer, masks, size)
        painted[drawn, number] = (alpha > 0.5).flatten(1).sum(1).float()
        row, y, x = torch.nonzero(alpha, as_tuple=True)
        here = (drawn[row], y, x)
        cover = alpha[row, y, x]
        color = _color({name: values[row] for name, values in layer.items()}, fills, quarter[row, y, x], y, x, size)
        image[here] = torch.lerp(image[here], color, cover[:, None])
        instance[here] = torch.where(cover > 0.5, number, instance[here])
    kind = columns["kind"].clamp(min=-1)
    kind_or_none = torch.cat([kind, kind.new_full((B, 1), -1)], 1)
    label = kind_or_none.gather(1, instance.flatten(1)).view(B, size, size) + 1
    visible = torch.stack([(instance == number).flatten(1).sum(1) for number in range(L)], 1) * (kind >= 0)
    boxes, classes, start = _boxes(instance, kind, visible > _VISIBLE * painted)
    return make_samples(
        (image * 255).round().to(torch.uint8).permute(0, 3, 1, 2).contiguous(),
        masks=label.to(torch.uint8),
        boxes=boxes,
        box_classes=classes,
        box_start=start,
        labels=kind.gather(1, visible.argmax(1, keepdim=True))[:, 0].clamp(min=0),
    )


def _background(background: Tensor, fills: Tensor, size: int) -> Tensor:
    """Return photographs at a reduced contrast around mid-grey, (B, S, S, 3)."""
    picture, offset, contrast = background[:, 0].long(), background[:, 1:3], background[:, 3].float()
    along = torch.arange(size, device=fills.device)
    y, x = along[None, :, None], along[None, None, :]
    rows = (slice(None), None, None)
    return 0.5 + contrast.view(-1, 1, 1, 1) * _crop(fills, picture[rows], offset[:, None, None], y, x, size)


def _crop(fills: Tensor, fill: Tensor, offset: Tensor, y: Tensor, x: Tensor, size: int) -> Tensor:
    """Return the fills' colours around grey at pixels (y, x) of an image whose corner is at `offset` in the tile.

    All arguments broadcast; `fills` is (F, T, T, 3), `offset` (..., 2) in fractions of the tile's free range.
    """
    corner = (offset * (fills.shape[1] - size)).long()
    return fills[fill, corner[..., 1] + y, corner[..., 0] + x] - 0.5


def _shape(rows: dict[str, Tensor], masks: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return each object's coverage in 0..1 and the sign of its quarter (+ at the top left), both (B, S, S)."""
    pixel = (torch.arange(size, device=masks.device) + 0.5) / size
    dx = pixel[None, None, :] - rows["center"][:, 0].float()[:, None, None]
    dy = pixel[None, :, None] - rows["center"][:, 1].float()[:, None, None]
    cos, sin = (f(rows["angle"].float())[:, None, None] for f in (torch.cos, torch.sin))
    half = rows["half"].float()
    u = (dx * cos + dy * sin) / half[:, 0, None, None]
    v = (dy * cos - dx * sin) / half[:, 1, None, None]
    sampled = F.grid_sample(masks[rows["mask"]][:, None], torch.stack([u, v], -1), align_corners=False)[:, 0]
    # The digits' 8 x 8 originals blur a stroke's edge over an eighth of the object: steepen it to a pixel or two.
    steep = (half.mean(1) * 2 * size / 8).clamp(min=1)[:, None, None]
    return ((sampled - 0.5) * steep + 0.5).clamp(0, 1), torch.sign(u * v)


def _color(rows: dict[str, Tensor], fills: Tensor, quarter: Tensor, y: Tensor, x: Tensor, size: int) -> Tensor:
    """Return the colours (P, 3) of P pixels; `rows` are the columns of the layer that each pixel belongs to."""
    texture = _crop(fills, rows["fill"], rows["offset"], y, x, size)
    shade = rows["gain"].float()[:, None] * texture + (rows["quarters"].float() * quarter)[:, None]
    return (rows["tint"].float() + shade).clamp(0, 1)


def _boxes(instance: Tensor, kind: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes (M, 4) around the visible pixels, their kinds (M,) and where each image's begin (B + 1,)."""
    B, L = kind.shape
    corners = torch.zeros(B, L, 4, device=kind.device)
    for number in range(L):
        there = instance == number
        for axis, column in ((1, 0), (2, 1)):
            line = there.any(axis).float()  # (B, S): along x for axis 1, along y for axis 2
            corners[:, number, column] = line.argmax(1).float()
            corners[:, number, column + 2] = line.shape[1] - line.flip(1).argmax(1).float()
    seen = seen & (kind >= 0)
    start = torch.cat([seen.new_zeros(1, dtype=torch.int64), seen.sum(1).cumsum(0)])
    return corners[seen], kind[seen], start

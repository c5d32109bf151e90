"""What stands where in an embedded scene, drawn from a seed; `render` turns it into pixels.

Three families of classes test different abilities of a design. Textured discs differ by fine structure alone, which
small inputs average away (resolution matters). Quartered squares differ by the arrangement of the same four parts, and
plain discs by the side on which a bar stands next to them (context, capacity). Handwritten digits need both. Sizes are
heavy-tailed: most objects are small, as in COCO.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from piip_explore.proxy.data.materials import ELLIPSE, FINEST, SQUARE, TEXTURE_SCALES, TEXTURES, Materials

ARRANGED = ("checker", "checker-flipped")
SIDED = ("bar-left", "bar-right")


@dataclass(frozen=True)
class SceneRules:
    """How scenes are drawn. Sizes are fractions of the image's side.

    Objects have sizes between `smallest` and `largest` with density s^-`tail`; `digits` digit classes (from 0 up);
    `crowd` objects and `clutter` unlabelled distractors at most per image. `finest` is the period of the finest
    textures, in pixels per cycle of an image of 1792: the longer it is, the less resolution they need.
    """

    digits: int = 10
    crowd: int = 8
    clutter: int = 5
    smallest: float = 0.06
    largest: float = 0.6
    tail: float = 1.5
    finest: float = FINEST

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the object classes, in the order of their indices (from 0)."""
        return (*(f"digit-{d}" for d in range(self.digits)), *TEXTURES, *ARRANGED, *SIDED)


@dataclass(frozen=True)
class Scenes:
    """B scenes of L layers as columns, painted in order; centre and size are fractions of the image's side.

    `kind` (B, L) is the class index from 0, -1 for clutter and bars, -2 for no layer. `mask` and `fill` point into
    `Materials`; the colour of a pixel is `tint` + `gain` x (fill - 0.5) + `quarters` x the sign of its quarter.
    `half` (B, L, 2) is the half size along the object's own axes, `angle` its rotation in radians, `offset` where in
    the fill's tile the image's corner lies (fractions of the free range).
    """

    background: np.ndarray
    kind: np.ndarray
    mask: np.ndarray
    fill: np.ndarray
    center: np.ndarray
    half: np.ndarray
    angle: np.ndarray
    tint: np.ndarray
    gain: np.ndarray
    quarters: np.ndarray
    offset: np.ndarray


def draw(rules: SceneRules, materials: Materials, seed: int, first: int, count: int) -> Scenes:
    """Return scenes number `first` to `first + count` of a seed; a scene does not depend on its neighbours."""
    scenes = [_scene(rules, materials, np.random.default_rng((seed, first + n))) for n in range(count)]
    return Scenes(**{f.name: np.stack([scene[f.name] for scene in scenes]) for f in fields(Scenes)})


def _scene(rules: SceneRules, materials: Materials, rng: np.random.Generator) -> dict[str, np.ndarray]:
    layers: list[dict[str, object]] = []
    for _ in range(rng.integers(max(1, rules.crowd // 2), rules.crowd + 1)):
        size = _power_law(rules.smallest, rules.largest, rules.tail, rng.random())
        layers += _object(rules, materials, rng, int(rng.integers(len(rules.classes))), size)
    for _ in range(rng.integers(rules.clutter + 1)):
        layers.append(_distractor(materials, rng))
    layers.sort(key=lambda layer: -float(np.max(np.asarray(layer["half"]))))  # small objects are drawn on large ones
    while len(layers) < 2 * rules.crowd + rules.clutter:
        layers.append(_layer(rng, kind=-2, mask=ELLIPSE, fill=0, center=(0, 0), half=(1e-3, 1e-3)))
    scene = {name: np.stack([np.asarray(layer[name]) for layer in layers]) for name in layers[0]}
    scene["background"] = np.array([rng.integers(materials.photos), *rng.random(2), rng.uniform(0.2, 0.6)])
    return scene


def _power_law(low: float, high: float, tail: float, share: float) -> float:
    """Return the quantile `share` of the density s^-tail between `low` and `high`."""
    if tail == 1:
        return low * (high / low) ** share
    power = 1 - tail
    quantile: float = (low**power + share * (high**power - low**power)) ** (1 / power)
    return quantile


def _layer(rng: np.random.Generator, **given: object) -> dict[str, object]:
    plain: dict[str, object] = {
        "angle": 0.0,
        "tint": rng.uniform(0.1, 0.9, 3),
        "gain": 0.3,
        "quarters": 0.0,
        "offset": rng.random(2),
    }
    return plain | given


def _object(
    rules: SceneRules, materials: Materials, rng: np.random.Generator, kind: int, size: float
) -> list[dict[str, object]]:
    half = size / 2
    center = rng.uniform(min(half, 0.5), max(1 - half, 0.5), 2)
    photo = int(rng.integers(materials.photos))
    name = rules.classes[kind]
    where = {"kind": kind, "center": center, "half": (half, half)}
    if kind < rules.digits:
        mask = int(rng.choice(np.flatnonzero(materials.digit == kind)))
        return [_layer(rng, **where, mask=mask, fill=photo, angle=rng.uniform(-0.25, 0.25), gain=0.2)]
    if name in TEXTURES:
        fill = materials.photos + TEXTURES.index(name) * len(TEXTURE_SCALES) + int(rng.integers(len(TEXTURE_SCALES)))
        aspect = rng.uniform(0.6, 1)
        grey = np.full(3, rng.uniform(0.4, 0.6))
        return [_layer(rng, **where | {"half": (half, half * aspect)}, mask=ELLIPSE, fill=fill, tint=grey, gain=1.0)]
    if name in ARRANGED:
        quarters = 0.25 if name == ARRANGED[0] else -0.25
        return [_layer(rng, **where, mask=SQUARE, fill=photo, tint=rng.uniform(0.3, 0.7, 3), quarters=quarters)]
    disc = _layer(rng, **where, mask=ELLIPSE, fill=photo)
    side = -1 if name == SIDED[0] else 1
    beside = center + np.array([side * half * rng.uniform(1.5, 2.2), rng.uniform(-0.3, 0.3) * half])
    bar = _layer(rng, kind=-1, mask=SQUARE, fill=photo, center=beside, half=(half * 0.2, half), gain=0.1)
    return [disc, bar]


def _distractor(materials: Materials, rng: np.random.Generator) -> dict[str, object]:
    """Return an unlabelled ellipse or rectangle: a plain one in a texture's grey, or a piece of a photograph."""
    half = 0.5 * rng.uniform(0.04, 0.3) * rng.uniform(0.3, 1, 2)
    plain = rng.random() < 0.5
    look = {"tint": np.full(3, rng.uniform(0.4, 0.6)), "gain": 0.1} if plain else {"gain": 0.8}
    return _layer(
        rng,
        kind=-1,
        mask=ELLIPSE if plain else SQUARE,
        fill=int(rng.integers(materials.photos)),
        center=rng.random(2),
        half=half,
        angle=rng.uniform(0, np.pi),
        **look,
    )

"""The embedded data set: scenes composed of real images from a seed, rendered once and cached."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from piip_explore import phases
from piip_explore.code_hash import code_hash
from piip_explore.errors import InputError
from piip_explore.proxy.data.materials import materials
from piip_explore.proxy.data.render import render
from piip_explore.proxy.data.sample_cache import cached
from piip_explore.proxy.data.scenes import SceneRules, draw
from piip_explore.proxy.data.source import Annotation, Samples, Split

_BATCH = 32
_DIGIT_CLASSES = 10


@dataclass(frozen=True)
class EmbeddedScenes:
    """Scenes drawn by `rules` from `seed`: every annotation, any number of images, no download.

    Raises:
        InputError: rules that no scene can follow.
    """

    rules: SceneRules = field(default_factory=SceneRules)
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rules.digits <= _DIGIT_CLASSES:
            raise InputError(f"digits={self.rules.digits} of the embedded scenes: expected 0 to {_DIGIT_CLASSES}")

    @property
    def id(self) -> str:
        """What the scenes are drawn from, and the version of the code that draws them."""
        return f"embedded scenes, {self.rules}, seed {self.seed}, drawn by {_code_hash()}"

    @property
    def provides(self) -> frozenset[Annotation]:
        """Every annotation."""
        return frozenset({"masks", "boxes", "labels"})

    def classes(self, annotation: Annotation) -> tuple[str, ...]:
        """Return the scenes' classes, with the background before them in masks."""
        return ("background", *self.rules.classes) if annotation == "masks" else self.rules.classes

    def check(self) -> None:
        """Read every embedded picture once."""
        materials("train", 64)
        materials("val", 64)

    def fingerprint(self, train: int, val: int) -> str:
        """Return the rules: they decide all scenes."""
        return self.id

    def load(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        """Return `count` scenes, rendered on `device` the first time and read from the cache after that."""
        return cached(self.key(split, count, size, device), device, lambda: self._render(split, count, size, device))

    def key(self, split: str, count: int, size: int, device: torch.device) -> str:
        """Return what names these samples in the cache."""
        return f"{self.id} {split} {count} {size} {device.type}"

    def _render(self, split: Split, count: int, size: int, device: torch.device) -> Samples:
        bank = materials(split, size, self.rules.finest)
        batch = _BATCH if device.type == "cpu" else 8 * _BATCH
        # Validation scenes have a sequence of their own, so none of their layouts is trained on.
        seed = 2 * self.seed + (split == "val")
        parts = []
        for first in range(0, count, batch):
            phases.tell("rendering scenes", first / count)
            parts.append(render(draw(self.rules, bank, seed, first, min(batch, count - first)), bank, size, device))
        columns = {
            name: torch.cat([getattr(part, name) for part in parts]) for name in vars(parts[0]) if name != "box_start"
        }
        per_image = torch.cat([part.box_start.diff() for part in parts])
        start = torch.cat([per_image.new_zeros(1), per_image.cumsum(0)])
        return Samples(**columns, box_start=start)


def _code_hash() -> str:
    """Hash of the modules that decide a scene's pixels, so no cache outlives a change in them."""
    return code_hash(*(f"proxy/data/{name}.py" for name in ("materials", "scenes", "render", "embedded")))

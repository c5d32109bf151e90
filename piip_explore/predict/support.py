"""Whether anything published is like a design; where nothing is, the regression would extrapolate."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from piip_explore.catalog import OwnBranch, ViT
from piip_explore.design import Branch, Design, Interaction, Merge
from piip_explore.design.setting import Plain, plain
from piip_explore.predict.features import NAMES, Floats, of_designs
from piip_explore.predict.rows import METRICS, Published
from piip_explore.space import SpaceColumns


@dataclass(frozen=True)
class _Range:
    """A feature that must be within that of the published rows, give or take `margin`; how to call and show it."""

    what: str
    unit: str
    margin: float

    def text(self, value: float) -> str:
        """Return a value of the feature, which is a logarithm, as people say it."""
        return f"{2**value - (self.what == 'number of interactions'):,.0f}{self.unit}"


_RANGES = {
    "output resolution": _Range("highest merged resolution", " px", 0.25),
    "mean resolution": _Range("mean resolution", " px", 0.25),
    "weights": _Range("size", " M weights", 0.4),
    "compute": _Range("compute", " GFLOPs in the branches", 0.4),
    "interactions": _Range("number of interactions", "", 0.1),
}
ASSUMED = {
    ("attention", "regular"): "attention=regular is taken as a little worse than deformable",
    ("direction", "up"): "direction=up is taken as half of both directions",
    ("direction", "down"): "direction=down is taken as half of both directions",
}
"""Options that no published row has but that still get a number, with a wider interval, and how."""

_OPTIONS = ("attention", "direction", "points", "ratio", "ffn", "project")


@dataclass(frozen=True)
class Support:
    """What the rows of a metric cover."""

    rows: Published
    metric: str

    def reasons(self, design: Design) -> list[str]:
        """Return how a design differs from every row of the metric, a sentence each; nothing where it is like some."""
        if not self._designs:
            return [f"no row here has a {METRICS[self.metric]}"]
        found = [
            f"no row with {METRICS[self.metric]} has a branch like '{branch.model}'"
            for branch in design.branches
            if _kind(branch) not in self._branches
        ]
        if len(design.branches) not in self._counts:
            found.append(f"no row with {METRICS[self.metric]} has {len(design.branches)} branches")
        if len(design.branches) > 1:
            found += self._of_setting(design.interaction, design.merge)
        row = of_designs([design])[0]
        low, high = self._bounds
        for name, one in _RANGES.items():
            column = NAMES.index(name)
            value, least, most = row[column], low[column], high[column]
            if not least - one.margin <= value <= most + one.margin:
                span = f"{one.text(least)} to {one.text(most)}"
                found.append(f"its {one.what}, {one.text(value)}, is outside the published {span}")
        return list(dict.fromkeys(found))

    def assumed(self, design: Design) -> tuple[str, ...]:
        """Return what a design's number rests on besides the published rows: options that none of them has."""
        return tuple(ASSUMED[option] for option in self._new_options(design.interaction) if option in ASSUMED)

    def covers(self, columns: SpaceColumns, features: Floats) -> npt.NDArray[np.bool_]:
        """Return for which designs of columns, with their features, `reasons` has none."""
        like = np.array([_kind(branch) in self._branches for branch in columns.branch_options])
        usual = np.array([not self._of_setting(*one) for one in columns.settings])
        count = (columns.branches >= 0).sum(axis=1)
        covered: npt.NDArray[np.bool_] = (like[columns.branches] | (columns.branches < 0)).all(axis=1)
        covered &= np.isin(count, list(self._counts)) & (usual[columns.setting] | (count == 1))
        low, high = self._bounds
        for name, one in _RANGES.items():
            column = NAMES.index(name)
            values = features[:, column]
            covered &= (low[column] - one.margin <= values) & (values <= high[column] + one.margin)
        return covered

    def _of_setting(self, interaction: Interaction | None, merge: Merge) -> list[str]:
        found = []
        if merge.kind not in self._merges:
            found.append(f"no row with {METRICS[self.metric]} has merge={merge.kind}")
        if merge.weighting != "published":
            found.append(f"no row with {METRICS[self.metric]} has weighting={merge.weighting}")
        new = [option for option in self._new_options(interaction) if option not in ASSUMED]
        return found + [f"no row with {METRICS[self.metric]} has {name}={value}" for name, value in new]

    def _new_options(self, interaction: Interaction | None) -> list[tuple[str, Plain]]:
        """Return the options of interactions, with their values, that no row of the metric has."""
        known = {option for one in self._interactions for option in _options(one)}
        return [option for option in _options(interaction) if option not in known] if interaction else []

    @cached_property
    def _designs(self) -> tuple[Design, ...]:
        return self.rows[np.array(self.rows.metric) == self.metric].design

    @cached_property
    def _branches(self) -> frozenset[Hashable]:
        return frozenset(_kind(branch) for design in self._designs for branch in design.branches)

    @cached_property
    def _counts(self) -> frozenset[int]:
        return frozenset(len(design.branches) for design in self._designs)

    @cached_property
    def _merges(self) -> frozenset[str]:
        kinds = {design.merge.kind for design in self._designs if len(design.branches) > 1}
        return frozenset(kinds | ({"conv"} if "linear" in kinds else set()))  # counted as linear, trained as conv

    @cached_property
    def _interactions(self) -> tuple[Interaction, ...]:
        return tuple({design.interaction: None for design in self._designs if design.interaction is not None})

    @cached_property
    def _bounds(self) -> tuple[Floats, Floats]:
        features = of_designs(self._designs)
        return features.min(axis=0), features.max(axis=0)


def _options(interaction: Interaction) -> list[tuple[str, Plain]]:
    return [(name, plain(getattr(interaction, name))) for name in _OPTIONS]


def _kind(branch: Branch) -> Hashable:
    """Return what sets a branch's family apart besides its sizes."""
    spec = branch.spec
    if isinstance(spec, OwnBranch):
        return branch.model
    if isinstance(spec, ViT):
        positions = spec.position, spec.rotary
        mlp = spec.activation, spec.mlp_ratio
        return "ViT", spec.norm, positions, spec.embed_norm, spec.layer_scale, spec.registers, spec.patch, mlp
    return "ConvNeXt", spec.patch

"""What the targets of the authors' code bases share: options, and arguments kept from an imported config."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.export.backbone import CodeBase, backbone
from piip_explore.export.exporter import Exporter, Files
from piip_explore.export.official_import import import_backbone
from piip_explore.export.pretrained import WEIGHTS, Weights, check_families, weights
from piip_explore.export.pyconfig import plain

if TYPE_CHECKING:
    from torch import Tensor

    from piip_explore.export.checkpoints import OurWeights


@dataclass(frozen=True)
class OfficialExporter(Exporter):
    """A target of the authors' code.

    `pretrain`: pre-training family of a model where it is not the published default, such as {"vit_base": "mae"}.
    `keep`: backbone arguments of an imported config of the same design; they stand in the file as they are.
    `weights`: one of our checkpoint files of the design; it is written beside the config under the authors' names.
    """

    code_base: ClassVar[CodeBase]

    pretrain: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, Any] | None = None
    weights: Path | None = None

    def chosen_weights(self, design: Design) -> dict[str, Weights]:
        """Return the pre-trained weights of every model of the design."""
        check_families(self.pretrain, design.branches)
        return {branch.model: weights(branch.model, self.pretrain.get(branch.model)) for branch in design.branches}

    def arguments(self, design: Design) -> dict[str, Any]:
        """Return the backbone arguments of the design, or those kept.

        Raises:
            InputError: the kept arguments are those of another design or code base.
        """
        if self.keep is None:
            arguments = backbone(design, self.code_base, self.chosen_weights(design))
            return arguments if self.weights is None else self._with_stored_positions(arguments)
        imported = import_backbone(self.keep, resolution=design.resolution)
        if imported.code_base != self.code_base or imported.design.id != design.id:
            raise InputError(
                f"the arguments to keep are those of '{imported.design}' in the {imported.code_base} code, "
                f"not of '{design}' in the {self.code_base} code"
            )
        return dict(self.keep)

    @cached_property
    def _stored(self) -> OurWeights:
        from piip_explore.export.checkpoints import in_sorted_order, read_ours  # torch, for weights alone

        assert self.weights is not None
        ours = read_ours(self.weights)
        return replace(ours, state=in_sorted_order(ours.state, ours.design), design=ours.design.sorted())

    def _with_stored_positions(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Say the grid that the position embeddings in `weights` have, so that the authors' code makes room for it."""
        if self.code_base == "classification":
            return arguments  # this code base keeps positions at the branch's own grid
        made = dict(arguments)
        count = len(self._stored.design.branches)
        for index in range(count):
            position = self._stored.state.get(f"branches.{index}.pos_embed")
            name = f"branch{count - index}"
            if position is not None and name in made:
                side = math.isqrt(position.shape[1])
                made[name] = {**made[name], "pretrain_img_size": side * 16, "pretrain_patch_size": 16}
        return made

    def weight_files(self, design: Design, stem: str) -> Files:
        """Return the checkpoint under the authors' names as `stem`.pth, or nothing where no weights are given.

        Raises:
            InputError: the weights are those of another design, or of one branch alone.
        """
        if self.weights is None:
            return {}
        from piip_explore.export.checkpoints import to_official, torch_file

        ours = self._stored
        if ours.design.id != design.id:
            raise InputError(f"'{self.weights}' holds weights of '{ours.design}', not of '{design}'")
        if len(design.branches) == 1:
            raise InputError("weights of one branch alone have timm's names already: the authors' code loads those")
        state = ours.state
        if self.code_base == "classification":
            state = _at_own_grids(state, ours.design)
        theirs = to_official(state, self.code_base, plain(self.arguments(design)), ours.unused)
        prefix = "" if self.code_base == "classification" else "backbone."
        return {f"{stem}.pth": torch_file({prefix + name: tensor for name, tensor in theirs.items()})}


def _at_own_grids(state: Mapping[str, Tensor], design: Design) -> dict[str, Tensor]:
    """Resample position embeddings to the branches' own grids, as the network's forward pass does."""
    from piip_explore.models.vit import resample_positions

    made = dict(state)
    for index, branch in enumerate(design.branches):
        name = f"branches.{index}.pos_embed"
        if name in made:
            made[name] = resample_positions(made[name], (branch.grid, branch.grid))
    return made


def plain_vit(branch: Branch) -> bool:
    """Say whether the authors' ViT classes take a branch: catalogued ViTs but CLIP and BEiT, and free ones."""
    spec = branch.spec
    return isinstance(spec, catalog.ViT) and spec.patch == 16 and not spec.embed_norm and spec.position == "absolute"


PLAIN_VITS = [name for name in WEIGHTS if name.startswith("vit") or name == "intern_vit_6b"]
"""The catalogued models that `plain_vit` accepts."""

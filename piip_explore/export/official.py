"""What the targets of the authors' code bases share: options, and arguments kept from an imported config."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.export.backbone import CodeBase, backbone
from piip_explore.export.exporter import Exporter
from piip_explore.export.official_import import import_backbone
from piip_explore.export.pretrained import WEIGHTS, Weights, check_families, weights


@dataclass(frozen=True)
class OfficialExporter(Exporter):
    """A target of the authors' code.

    `pretrain`: pre-training family of a model where it is not the published default, such as {"vit_base": "mae"}.
    `keep`: backbone arguments of an imported config of the same design; they stand in the file as they are.
    """

    code_base: ClassVar[CodeBase]

    pretrain: Mapping[str, str] = field(default_factory=dict)
    keep: Mapping[str, Any] | None = None

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
            return backbone(design, self.code_base, self.chosen_weights(design))
        imported = import_backbone(self.keep, resolution=design.resolution)
        if imported.code_base != self.code_base or imported.design.id != design.id:
            raise InputError(
                f"the arguments to keep are those of '{imported.design}' in the {imported.code_base} code, "
                f"not of '{design}' in the {self.code_base} code"
            )
        return dict(self.keep)


def plain_vit(branch: Branch) -> bool:
    """Say whether the authors' ViT classes take a branch: catalogued ViTs but CLIP and BEiT, and free ones."""
    spec = branch.spec
    return isinstance(spec, catalog.ViT) and spec.patch == 16 and not spec.embed_norm and spec.position == "absolute"


PLAIN_VITS = [name for name in WEIGHTS if name.startswith("vit") or name == "intern_vit_6b"]
"""The catalogued models that `plain_vit` accepts."""

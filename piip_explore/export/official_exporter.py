"""What the targets of the authors' code bases share: options, the head of a file, arguments of an imported config."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from piip_explore import catalog
from piip_explore.design import Branch, Design
from piip_explore.errors import InputError
from piip_explore.export.backbone import backbone
from piip_explore.export.exporter import Exporter, Files, Origin
from piip_explore.export.pyconfig import Noted, plain, render
from piip_explore.official.arguments import CLASS_WORDS, CodeBase, branch_class
from piip_explore.official.import_design import import_backbone
from piip_explore.official.network import read_network
from piip_explore.official.pretrained import WEIGHTS, PretrainedWeights, check_families, weights

if TYPE_CHECKING:
    from torch import Tensor

    from piip_explore.export.checkpoints import OurWeights


_NEWER = (
    "These versions have no kernels for compute capability 9.0 (H100, H200) or newer. There, build() of",
    "piip_explore.models is this network in plain PyTorch, `piip-explore train` trains it as a detector, segmenter or",
    "classifier, and piip_explore.ops.compat has their deformable attention for a port of their code.",
)
_MM = (
    "Runs with torch 1.11 to 1.13 and CUDA 10.2 to 11.6 (the authors: 1.12, 11.3), flash-attn 0.2.8, deepspeed 0.8.0",
    "and the authors' own mmcv-full 1.7.0, mmdetection 2.25 and mmsegmentation, on GPUs such as V100 and A100.",
    *_NEWER,
)
ENVIRONMENT: dict[CodeBase, tuple[str, ...]] = {
    "detection": _MM,
    "segmentation": _MM,
    "classification": (
        "Runs with torch 1.12 and CUDA 11.6, timm 0.5.4, flash-attn 0.2.8 and mmcv-full 1.4.2, on GPUs such as V100",
        "and A100.",
        *_NEWER,
    ),
    "llava": (
        "Runs with LLaVA-1.5's packages, transformers 4.37.2 and flash-attn 2.3.6; the authors trained on A100. Newer",
        "GPUs need their deformable attention recompiled; build() of piip_explore.models is this encoder in plain",
        "PyTorch.",
    ),
}
"""What every code base needs to run, as comment lines. Source: the authors' installation notes."""


def header(design: Design, code_base: CodeBase, what: str, origin: Origin | None) -> list[str]:
    """Return the comment lines that open an exported file."""
    lines = [f"{what}, written by piip-explore.", f"Design {design.id}: {design}", *ENVIRONMENT[code_base]]
    if origin is not None:
        scores = ", ".join(f"{name} {value:g}" for name, value in origin.scores.items())
        lines.append(f"Study '{origin.study}', trial {origin.trial}: {scores}")
        lines += [f"  {name}: {value}" for name, value in origin.conditions.items()]
    return lines


def kept(keep: Mapping[str, Any], design: Design, code_base: CodeBase) -> dict[str, Any]:
    """Return the arguments of an imported config, after a check that they are those of the design.

    Raises:
        InputError: they are those of another design or code base.
    """
    imported = import_backbone(keep, resolution=design.resolution)
    if imported.code_base != code_base or imported.design.id != design.id:
        raise InputError(
            f"the arguments to keep are those of '{imported.design}' in the {imported.code_base} code, "
            f"not of '{design}' in the {code_base} code"
        )
    return dict(keep)


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

    def chosen_weights(self, design: Design) -> dict[str, PretrainedWeights]:
        """Return the pre-trained weights of every model of the design."""
        check_families(self.pretrain, design.branches)
        return {branch.model: weights(branch.model, self.pretrain.get(branch.model)) for branch in design.branches}

    @property
    @abstractmethod
    def what(self) -> str:
        """What the config trains, and where it goes, as the file's first line says it."""

    @abstractmethod
    def stem(self, design: Design) -> str:
        """Return the config's file name without its suffix."""

    @abstractmethod
    def config(self, design: Design) -> dict[str, Any]:
        """Return the assignments of the config file, with their notes."""

    def header(self, design: Design, origin: Origin | None) -> list[str]:
        """Return the comment lines that open the config file."""
        return header(design, self.code_base, self.what, origin)

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return one config file, and the weights if there are any."""
        text = render(self.config(design), self.header(design, origin))
        return {f"{self.stem(design)}.py": text, **self.weight_files(design)}

    def arguments(self, design: Design) -> dict[str, Any]:
        """Return the backbone arguments of the design, or those kept; with `weights`, arguments that load them.

        Raises:
            InputError: the kept arguments are those of another design or code base.
        """
        if self.keep is None:
            arguments = backbone(design, self.code_base, self.chosen_weights(design))
        else:
            arguments = kept(self.keep, design, self.code_base)
        return arguments if self.weights is None else self._loading(design, arguments)

    @cached_property
    def _stored(self) -> OurWeights:
        from piip_explore.export.checkpoints import read_ours  # loads torch, which only weights need
        from piip_explore.export.conversion import in_sorted_order

        assert self.weights is not None
        ours = read_ours(self.weights)
        return replace(ours, state=in_sorted_order(ours.state, ours.design), design=ours.design.sorted())

    def _loading(self, design: Design, arguments: dict[str, Any]) -> dict[str, Any]:
        """Name the files of `weight_files`, and the grid that their position embeddings have.

        In mm-based code the backbone reads its own `pretrained`. A ViT branch needs one too, because a word in its path
        chooses the class: it gets a file of what it resamples when it reads one, in the sizes that it has already.
        """
        made = dict(arguments)
        for number, section in self._vit_sections(arguments).items():
            if self.code_base == "classification":
                made[f"branch{number}"] = {**section, "pretrained": None, **self._layer_scale(number, section)}
                continue
            side = math.isqrt(self._state()[self._name(number)].shape[1])
            sizes = {"pretrain_img_size": side * 16, "pretrain_patch_size": 16}
            word = CLASS_WORDS.get(branch_class(plain(section), self.code_base), "vit")
            path = f"{self.stem(design)}_branch{number}_{word}.pth"
            made[f"branch{number}"] = {**section, **sizes, "pretrained": path}
        if self.code_base != "classification":
            made["pretrained"] = Noted(
                f"{self.stem(design)}.pth", "written beside this file; start training in its folder"
            )
        return made

    def _layer_scale(self, number: int, section: Mapping[str, Any]) -> dict[str, float]:
        """Return the argument that gives a classifier's branch the LayerScale that its weights were trained with."""
        branch = self._name(number).removesuffix("pos_embed")
        scales = [t for name, t in self._stored.state.items() if name.startswith(branch) and name.endswith(".gamma")]
        without = section.get("model_type") == "augreg" and section.get("init_values") is None
        return {"init_values": 1.0} if without and any(bool((scale != 1).any()) for scale in scales) else {}

    def _vit_sections(self, arguments: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
        """Return the sections of the ViT branches in `weights` by the authors' numbers."""
        numbers = range(1, len(self._stored.design.branches) + 1)
        sections = {number: arguments.get(f"branch{number}") for number in numbers}
        return {n: s for n, s in sections.items() if s is not None and self._name(n) in self._stored.state}

    def _name(self, number: int) -> str:
        return f"branches.{len(self._stored.design.branches) - number}.pos_embed"

    def _state(self) -> Mapping[str, Tensor]:
        """Return the stored weights, positions at the grid that the code base keeps them at."""
        ours = self._stored
        if self.code_base == "detection":
            return ours.state
        from piip_explore.export.conversion import at_own_grids

        return at_own_grids(ours.state, ours.design)

    def weight_files(self, design: Design) -> Files:
        """Return the checkpoint under the authors' names as `stem`.pth, or nothing where no weights are given.

        Raises:
            InputError: the weights are those of another design, or of one branch alone.
        """
        if self.weights is None:
            return {}
        from piip_explore.export.checkpoints import torch_file
        from piip_explore.export.conversion import to_official

        ours = self._stored
        if ours.design.id != design.id:
            raise InputError(f"'{self.weights}' holds weights of '{ours.design}', not of '{design}'")
        if len(design.branches) == 1:
            raise InputError("weights of one branch alone have timm's names already: the authors' code loads those")
        arguments = plain(self.arguments(design))
        theirs = to_official(self._state(), read_network(arguments, self.code_base), ours.unused)
        if self.code_base == "classification":
            return {f"{self.stem(design)}.pth": torch_file(theirs, "model")}
        files: Files = {
            f"{self.stem(design)}.pth": torch_file({f"backbone.{name}": t for name, t in theirs.items()}, "module")
        }
        for number, section in self._vit_sections(arguments).items():
            names = ("pos_embed", "patch_embed.proj.weight")
            resampled = {name: theirs[f"branch{number}.{name}"] for name in names}
            files[section["pretrained"]] = torch_file(resampled, "model")
        return files


def plain_vit(branch: Branch) -> bool:
    """Say whether the authors' plain ViT classes take a branch: catalogued and free plain ViTs, and InternViT."""
    return branch.model == "intern_vit_6b" or free_vit(branch)


def free_vit(branch: Branch) -> bool:
    """Say whether a branch is what `vit[...]` stands for, with the patches that the authors' code has."""
    spec = branch.spec
    return isinstance(spec, catalog.ViT) and spec == spec.plain and spec.patch == 16


PLAIN_VITS = [name for name in WEIGHTS if name.startswith("vit") or name == "intern_vit_6b"]
"""The catalogued models that `plain_vit` accepts."""

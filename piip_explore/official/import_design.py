"""The authors' config files and constructor arguments as designs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from piip_explore import catalog
from piip_explore.design import Branch, Design, Merge
from piip_explore.errors import InputError
from piip_explore.official import four_branches
from piip_explore.official.arguments import Arguments, CodeBase, shown
from piip_explore.official.config_file import read_config
from piip_explore.official.network import OfficialBranch, OfficialNetwork, read_network


@dataclass(frozen=True)
class Imported:
    """A config as a design, and the network that the authors' code builds from it.

    `notes` say where that network differs from the design's in ways that no design expresses.
    """

    design: Design
    network: OfficialNetwork
    notes: tuple[str, ...] = ()

    @property
    def code_base(self) -> CodeBase:
        """The code base that the config is for."""
        return self.network.code_base

    @property
    def backbone(self) -> Arguments:
        """The constructor arguments as they stand, all kept for exporting them again."""
        return self.network.arguments


def import_config(path: Path) -> Imported:
    """Read a config file of the authors' detection, segmentation, classification or LLaVA code.

    Raises:
        InputError: not a plain config, no PIIP backbone in it, or one that no design expresses; the sentence names
            the file and the argument.
    """
    config = read_config(path)
    model = config.get("model")
    backbone = model.get("backbone") if isinstance(model, dict) else None
    if not isinstance(backbone, dict):
        missing = config["_missing_base_"]
        why = f" (its base '{missing[0]}' was not found beside it)" if missing else ""
        raise InputError(f"'{path}' has no model=dict(backbone=dict(...)){why}")
    try:
        return import_backbone(backbone, resolution=_image_size(config))
    except InputError as error:
        raise InputError(f"'{path}': {error}") from None


_SIZE_KEYS = {"Resize": "img_scale", "RandomCrop": "crop_size"}


def _image_size(config: Mapping[str, Any]) -> int | None:
    """Return the larger side that the training images are resized or cropped to, if the config says one."""
    pipeline = config.get("train_pipeline")
    for step in pipeline if isinstance(pipeline, list) else []:
        if isinstance(step, dict) and step.get("type") in list(_SIZE_KEYS):
            scale = step.get(_SIZE_KEYS[step["type"]])
            sides = [side for side in scale if isinstance(side, int)] if isinstance(scale, tuple | list) else []
            return max(sides, default=None)
    return None


def import_backbone(arguments: Arguments, code_base: CodeBase | None = None, resolution: int | None = None) -> Imported:
    """Read the authors' constructor arguments, which `read_network` describes, as a design.

    Raises:
        InputError: arguments that no design expresses; the sentence names the argument.
    """
    network = read_network(arguments, code_base, resolution)
    notes = [*design_notes(network), *four_branches.config_notes(network)]
    return Imported(design_of(network), network, tuple(notes))


def design_of(network: OfficialNetwork) -> Design:
    """Return the design of the authors' network.

    Raises:
        InputError: no design expresses it; the sentence names the argument.
    """
    branches = []
    for number, branch in enumerate(network.branches, start=1):
        try:
            branches.append(_branch(branch))
        except InputError as error:
            raise InputError(f"{_owner(network, number)}: {error}") from None
    if network.levels and network.levels != Merge("conv-multilevel").levels(network.interaction):
        expected = list(Merge("conv-multilevel").levels(network.interaction))
        raise InputError(f"out_interaction_indexes={list(network.levels)}: a design's are {expected}")
    design = Design(tuple(reversed(branches)), network.interaction, Merge(network.merge))
    if [design.branches[i] for i in reversed(design.order)] != branches:
        raise InputError(
            "branch1 is not the lowest-resolution branch, or the branches do not rise in resolution from it; a design "
            f"runs its interactions from the highest resolution down: expected '{design.sorted()}' from the last "
            "branch on"
        )
    return design


def _owner(network: OfficialNetwork, number: int) -> str:
    return f"branch{number}" if len(network.branches) > 1 else network.branches[0].branch_class


def _branch(branch: OfficialBranch) -> Branch:
    spec = branch.spec
    if isinstance(spec, catalog.ConvNeXt):
        return Branch(catalog.free_name(spec), branch.size)
    return Branch(_vit_name(branch, spec), branch.size, *_window_of(branch, spec))


def _vit_name(branch: OfficialBranch, spec: catalog.ViT) -> str:
    if spec.mlp_ratio != 4:
        raise InputError(f"mlp_ratio={spec.mlp_ratio}: the catalog's models have 4")
    if branch.branch_class != "CLIP":
        spec = replace(spec, layer_scale=True)
    free = f"vit[depth={spec.depth},dim={spec.dim},heads={spec.heads},patch={spec.patch}]"
    names = [name for name in (*catalog.MODELS, free) if catalog.model(name) == spec]
    if not names:
        raise InputError(
            f"a {branch.branch_class} of depth {spec.depth}, width {spec.dim}, {spec.heads} heads, "
            f"qkv_bias={spec.qkv_bias}, qk_normalization={spec.qk_norm} and norm '{spec.norm}' is not a model of the "
            "catalog"
        )
    return names[0]


def _window_of(branch: OfficialBranch, spec: catalog.ViT) -> tuple[int | None, int | None]:
    """Return the window of a branch and every how many blocks its attention is global.

    A window at least as large as the map is global attention.
    """
    grid = branch.size // spec.patch
    windows = [None if window is None or window >= grid else window for window in branch.windows]
    different = {window for window in windows if window is not None}
    if not different:
        return None, None
    if len(different) > 1:
        raise InputError(f"window_size={shown(sorted(different))}, a design has one window per branch")
    (window,) = different
    every = windows.index(None) + 1 if None in windows else None
    if every and [w is None for w in windows] != [(block + 1) % every == 0 for block in range(spec.depth)]:
        raise InputError(
            f"global blocks {shown([i for i, w in enumerate(windows) if w is None])} are not "
            f"every {every}th one, which is all that a design expresses"
        )
    return window, every


def design_notes(network: OfficialNetwork) -> list[str]:
    """Return where the authors' network differs from its design's, a sentence each."""
    notes = [note for number in range(1, len(network.branches) + 1) for note in _branch_notes(network, number)]
    notes += other_positions(network) + other_class_tokens(network)
    if network.code_base == "segmentation" and len(network.branches) == 3:
        notes.append("the authors' network takes images of branch 2's size and enlarges them for branch 3")
    if network.code_base == "classification" and network.classes is None:
        notes.append("use_cls_head=False: the authors' network ends with the merged map, without a classifier")
    if network.dino:
        notes.append("is_dino=True: the authors' network leaves out the finest of the design's four levels")
    if len(network.branches) == 1 and network.arguments.get("with_fpn"):
        notes.append("with_fpn=True: the pyramid behind the branch belongs to the detector, not to the design")
    return notes


def _branch_notes(network: OfficialNetwork, number: int) -> list[str]:
    branch, owner = network.branches[number - 1], _owner(network, number)
    if not isinstance(branch.spec, catalog.ViT) or branch.branch_class == "CLIP":
        return []
    notes = []
    if not branch.spec.layer_scale:
        notes.append(f"{owner} has no LayerScale (init_values=None); the design's network has one, of ones at first")
    grid = branch.size // branch.spec.patch
    ragged = {window for window in branch.windows if window and window < grid and grid % window}
    if ragged and not branch.arguments.get("use_flash_attn", True):
        notes.append(
            f"{owner} has use_flash_attn=False and windows of {ragged.pop()} on a map of {grid}, which they do not "
            "tile: that attention of the authors' pads elsewhere than use_flash_attn=True and the design's network "
            "do, and its outputs differ by about 5e-3"
        )
    return notes


def other_positions(network: OfficialNetwork) -> list[str]:
    """Return a sentence for each branch whose interactions follow other blocks than the design's."""
    notes = []
    for number, branch in enumerate(network.branches, start=1):
        expected = catalog.positions(branch.spec, len(branch.ends))
        if branch.ends != expected:
            notes.append(
                f"branch{number} interacts after blocks {shown(list(branch.ends))}; the design's network and its "
                f"costs have {shown(list(expected))}"
            )
    return notes


def other_class_tokens(network: OfficialNetwork) -> list[str]:
    """Return a sentence for each branch with a class token where the design has none, or the other way round."""
    if network.code_base != "classification":
        return []
    expected = network.merge == "separate-heads"
    return [
        f"{_owner(network, number)} has use_cls_token={branch.class_token}; the branches of "
        f"merge={network.merge} have {'a' if expected else 'no'} class token in the design's network"
        for number, branch in enumerate(network.branches, start=1)
        if branch.class_token != expected
    ]

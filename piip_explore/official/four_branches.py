"""A fault of the authors' detection class of four branches, which their released weights share.

`PIIPFourBranch` takes `interaction_indexes` and `real_size` from `branch4`, then builds its fourth branch from the
arguments of `branch3`: a config written for four branches trains another network than it says. The shapes of a
checkpoint's tensors show whether it comes from that code or from mended code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from piip_explore import catalog
from piip_explore.official.network import OfficialBranch, OfficialNetwork

FAULT = (
    "the authors' detection class of four branches builds branch 4 from the arguments of branch 3 "
    "(depth, width, heads, windows, drop path)"
)
MEND = "in piip_4branch.py, write `self.branch4 = vit_models(**branch4)` in place of `vit_models(**branch3)`"


def _affected(network: OfficialNetwork) -> bool:
    if network.code_base != "detection" or len(network.branches) != 4:
        return False
    third, fourth = network.branches[2:]
    return (third.spec, third.windows) != (fourth.spec, fourth.windows)


def config_notes(network: OfficialNetwork) -> list[str]:
    """Return the sentence that a config of four branches needs."""
    return [f"{FAULT}: to train what this config says, {MEND}"] if _affected(network) else []


def _as_third(third: OfficialBranch, fourth: OfficialBranch) -> OfficialBranch:
    """Return branch 4 as the faulty class builds it; blocks after its last range are built and never run."""
    assert isinstance(third.spec, catalog.ViT)
    depth = fourth.spec.blocks
    spec = replace(third.spec, depth=depth)
    return replace(third, spec=spec, windows=third.windows[:depth], size=fourth.size, ends=fourth.ends)


def as_trained(network: OfficialNetwork, shapes: Mapping[str, tuple[int, ...]]) -> tuple[OfficialNetwork, list[str]]:
    """Return the network that a checkpoint belongs to, and remarks on it.

    Args:
        network: as its arguments say.
        shapes: those of the checkpoint's tensors, under the authors' names.
    """
    kernel = shapes.get("branch4.patch_embed.proj.weight")
    if kernel is None or not _affected(network):
        return network, []
    third, fourth = network.branches[2:]
    blocks = {name.split(".")[2] for name in shapes if name.startswith("branch4.blocks.")}
    as_third, as_fourth = ((kernel[:1], len(blocks)) == ((b.spec.out_dim,), b.spec.blocks) for b in (third, fourth))
    if as_third and as_fourth:
        return network, [f"{FAULT}, which this checkpoint's shapes cannot tell: it was loaded as the config says"]
    if not as_third or third.spec.blocks < fourth.spec.blocks:
        return network, []
    trained = replace(network, branches=(*network.branches[:3], _as_third(third, fourth)))
    return trained, [f"this checkpoint's branch 4 has the structure of branch 3, and was loaded so: {FAULT}"]

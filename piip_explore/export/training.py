"""The training settings that follow from a design, as the authors' mm-based code bases take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from piip_explore.catalog import ConvNeXt
from piip_explore.design import Design
from piip_explore.export.exporter import Origin
from piip_explore.export.pyconfig import Name
from piip_explore.official.arguments import CodeBase
from piip_explore.official.pretrained import PretrainedWeights

IMAGENET_NORM = {"mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375], "to_rgb": True}
HALF_NORM = {"mean": [127.5, 127.5, 127.5], "std": [127.5, 127.5, 127.5], "to_rgb": True}


def has_convnext(design: Design) -> bool:
    """Say whether any branch is a ConvNeXt."""
    return any(isinstance(branch.spec, ConvNeXt) for branch in design.branches)


def image_norm(design: Design, chosen: dict[str, PretrainedWeights]) -> dict[str, Any]:
    """Return mean and standard deviation of the images: ImageNet's beside ConvNeXt or 384-pixel DeiT III weights."""
    imagenet = has_convnext(design) or any(weights.family == "deit3-384" for weights in chosen.values())
    return IMAGENET_NORM if imagenet else HALF_NORM


def pipelines(train: Sequence[object], scale: tuple[int, int], transforms: Sequence[object]) -> dict[str, Any]:
    """Return the config's pipelines and the data sets that use them; tests see whole images at one scale."""
    tensors = [{"type": "ImageToTensor", "keys": ["img"]}, {"type": "Collect", "keys": ["img"]}]
    whole = {"type": "MultiScaleFlipAug", "img_scale": scale, "flip": False, "transforms": [*transforms, *tensors]}
    sets: dict[str, Any] = {"samples_per_gpu": 2, "workers_per_gpu": 2}
    for name, pipeline in (("train", "train"), ("val", "test"), ("test", "test")):
        sets[name] = {"pipeline": Name(f"{pipeline}_pipeline")}
    return {"train_pipeline": train, "test_pipeline": [{"type": "LoadImageFromFile"}, whole], "data": sets}


def pad_divisor(design: Design) -> int:
    """Return what the padded image's sides are multiples of (pixels).

    Source: the published configs (224 with windows of 14 or 28, 64 without windows, 32 beside ConvNeXt); other windows
    are padded to whole windows of 16-pixel patches.
    """
    if has_convnext(design):
        return 32
    windows = [branch.window for branch in design.branches if branch.window]
    if not windows:
        return 64
    return 224 if all(window % 14 == 0 for window in windows) else 16 * max(windows)


_CONVNEXT_LAYERS = 12
"""What the published configs give as the depth of a ConvNeXt as branch 1; its own parameters are not decayed there."""


def _depth_strides(design: Design, layers: int) -> list[int | float]:
    """Return how many layers of branch 1 pass for one block of each other branch (`skip_stride`).

    A ConvNeXt's stride is never read, because its parameters are not decayed. The published configs give the ratio of
    the third stages beside another ConvNeXt, and 1 beside a ViT.
    """
    specs = [design.branches[i].spec for i in reversed(design.order)]
    strides: list[float] = []
    for spec in specs[1:]:
        if isinstance(spec, ConvNeXt):
            strides.append(specs[0].depths[2] / spec.depths[2] if isinstance(specs[0], ConvNeXt) else 1)
        else:
            strides.append(round(layers / spec.depth, 4))
    return [int(s) for s in strides] if all(s == int(s) for s in strides) else list(strides)


def layer_decay(design: Design, rate: float) -> dict[str, Any]:
    """Return the arguments of the authors' layer-decay optimizer constructor."""
    lowest = design.branches[design.order[-1]].spec
    layers = _CONVNEXT_LAYERS if isinstance(lowest, ConvNeXt) else lowest.depth
    arguments: dict[str, Any] = {"num_layers": layers, "layer_decay_rate": rate}
    if len(design.branches) > 1:
        arguments["skip_stride"] = _depth_strides(design, layers)
    return arguments


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

DEEPSPEED = {"deepspeed": True, "deepspeed_config": "zero_configs/adam_zero1_bf16.json"}
"""The assignments that train under DeepSpeed; checkpoints and the bfloat16 hook go with them."""


def header(design: Design, code_base: CodeBase, what: str, origin: Origin | None) -> list[str]:
    """Return the comment lines that open an exported file."""
    lines = [f"{what}, written by piip-explore.", f"Design {design.id}: {design}", *ENVIRONMENT[code_base]]
    if origin is not None:
        scores = ", ".join(f"{name} {value:g}" for name, value in origin.scores.items())
        lines.append(f"Study '{origin.study}', trial {origin.trial}: {scores}")
        lines += [f"  {name}: {value}" for name, value in origin.conditions.items()]
    return lines

"""Pre-trained weights of the branches: families, files, their sources, and the branch class that they imply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from piip_explore import catalog
from piip_explore.design import Branch
from piip_explore.errors import InputError
from piip_explore.official.arguments import BranchClass


@dataclass(frozen=True)
class PretrainedWeights:
    """One file of pre-trained weights.

    `path` is what a config names: a file below `pretrained/`, or a name on the Hugging Face hub. The authors'
    detection code chooses a branch's class by a word in this path. `image_size` and `patch` are those of the
    pre-training (pixels).
    """

    family: str
    path: str | None
    source: str
    branch_class: BranchClass
    image_size: int = 224
    patch: int = 16

    @property
    def grid(self) -> int:
        """Side of the position embedding in the file."""
        return self.image_size // self.patch

    @property
    def note(self) -> str:
        """One line on where the weights come from."""
        return f"{self.family}: {self.source}"


_DEIT = "https://github.com/facebookresearch/deit"
_DEIT3 = f"{_DEIT}/blob/main/README_revenge.md"
_MAE = "https://github.com/facebookresearch/mae"
_DINOV2 = "https://github.com/facebookresearch/dinov2"
_BEIT2 = "https://github.com/microsoft/unilm/tree/master/beit2"
_PERCEIVER = "https://github.com/fundamentalvision/Uni-Perceiver"
_INTERN = "https://huggingface.co/OpenGVLab/InternVL"
_AUGREG = "https://huggingface.co/timm"


def _deit3(size: str, pixels: int = 224) -> PretrainedWeights:
    family = "deit3" if pixels == 224 else f"deit3-{pixels}"
    return PretrainedWeights(family, f"pretrained/deit_3_{size}_{pixels}_21k.pth", _DEIT3, "vit_models", pixels)


def _augreg(size: str) -> PretrainedWeights:
    name = f"vit_{size}_patch16_224"
    # Fine-tuned on ImageNet-1k: the classification code loads the head of 1000 classes too, strictly.
    source = f"{_AUGREG}/{name}.augreg_in21k_ft_in1k"
    return PretrainedWeights("augreg", f"pretrained/{name}_augreg_in21k_ft_in1k.pth", source, "InternViT6B")


def _mae(size: str, patch: int = 16) -> PretrainedWeights:
    return PretrainedWeights("mae", f"pretrained/mae_pretrain_vit_{size}.pth", _MAE, "InternViT6B", patch=patch)


def _dinov2(size: str) -> PretrainedWeights:
    return PretrainedWeights("dinov2", f"pretrained/dinov2_vit{size}14_pretrain.pth", _DINOV2, "InternViT6B", 518, 14)


def _perceiver(name: str) -> PretrainedWeights:
    path = f"pretrained/uni-perceiver-{name}-pretrained_converted.pth"
    return PretrainedWeights("uni-perceiver", path, _PERCEIVER, "UnifiedBertEncoder")


def _beitv2(size: str) -> PretrainedWeights:
    return PretrainedWeights("beitv2", f"pretrained/beitv2_{size}_patch16_224_pt1k_ft21k.pth", _BEIT2, "BEiT")


def _convnext(size: str) -> PretrainedWeights:
    name = f"facebook/convnext-{size}-224"
    return PretrainedWeights("convnext", name, f"https://huggingface.co/{name}", "ConvNextHFWrapper")


def _clip(name: str, image_size: int) -> PretrainedWeights:
    source = name if "/" in name else f"timm/{name}"
    return PretrainedWeights("clip", name, f"https://huggingface.co/{source}", "CLIP", image_size)


WEIGHTS: dict[str, tuple[PretrainedWeights, ...]] = {
    "vit_tiny": (
        PretrainedWeights("deit", "pretrained/deit_tiny_patch16_224-a1311bcf.pth", _DEIT, "vit_models"),
        _augreg("tiny"),
    ),
    "vit_small": (
        _deit3("small"),
        _deit3("small", 384),
        PretrainedWeights("deit", "pretrained/deit_small_patch16_224-cd65a155.pth", _DEIT, "vit_models"),
        _augreg("small"),
        _dinov2("s"),
    ),
    "vit_base": (
        _deit3("base"),
        _deit3("base", 384),
        PretrainedWeights("deit", "pretrained/deit_base_patch16_224-b5f2ef4d.pth", _DEIT, "vit_models"),
        _augreg("base"),
        _mae("base"),
        _dinov2("b"),
        _perceiver("base-L12-H768-224size-torch"),
    ),
    "vit_large": (
        _deit3("large"),
        _deit3("large", 384),
        _augreg("large"),
        _mae("large"),
        _dinov2("l"),
        _perceiver("large-L24-H1024-224size"),
    ),
    "vit_huge": (_mae("huge", 14),),
    "intern_vit_6b": (
        PretrainedWeights("internvl", "pretrained/intern_vit_6b_224px.pth", _INTERN, "InternViT6B", patch=14),
    ),
    "beit_base": (_beitv2("base"),),
    "beit_large": (_beitv2("large"),),
    "convnext_tiny": (_convnext("tiny"),),
    "convnext_small": (_convnext("small"),),
    "convnext_base": (_convnext("base"), _clip("convnext_base.clip_laiona_augreg_320", 320)),
    "convnext_large": (_convnext("large"), _clip("convnext_large_mlp.clip_laion2b_ft_320", 320)),
    "clip_base": (_clip("openai/clip-vit-base-patch16", 224),),
    "clip_large": (
        _clip("OpenGVLab/clip-vit-large-patch14to16-336", 336),
        _clip("OpenGVLab/clip-vit-large-patch14to16-224", 224),
    ),
}
"""Weights of every catalogued model; the first are those of the published designs."""


def weights(model: str, family: str | None = None) -> PretrainedWeights:
    """Return the weights of a model, of the family given or the published default.

    A free model has none: its path names the file that your own pre-training would write.

    Raises:
        InputError: there are no weights of that family for that model.
    """
    if model not in WEIGHTS:
        return _own(model, family)
    choices = WEIGHTS[model]
    for choice in choices:
        if family in (None, choice.family):
            return choice
    known = ", ".join(dict.fromkeys(choice.family for choice in choices))
    raise InputError(f"no '{family}' weights for '{model}': expected one of {known}")


def _own(model: str, family: str | None) -> PretrainedWeights:
    if family is not None:
        why = (
            "the authors' code has no such branch" if model in catalog.MODELS else "a free model has no public weights"
        )
        raise InputError(f"no '{family}' weights for '{model}': {why}")
    spec = catalog.model(model)
    assert isinstance(spec, catalog.ViT)
    path = f"pretrained/deit_depth{spec.depth}_dim{spec.dim}_heads{spec.heads}.pth"
    return PretrainedWeights(
        "own", path, "no public weights: pre-train this model, or set None to start from scratch", "vit_models"
    )


def check_families(families: Mapping[str, str], branches: tuple[Branch, ...]) -> None:
    """Refuse families for models that the design lacks, and families without weights."""
    models = [branch.model for branch in branches]
    for model, family in families.items():
        if model not in models:
            raise InputError(f"pre-training '{family}' for '{model}': this design has only {', '.join(models)}")
        weights(model, family)


_DROP_PATH = {
    "vit_tiny": 0.05,
    "vit_small": 0.05,
    "vit_base": 0.15,
    "vit_large": 0.4,
    "vit_huge": 0.4,
    "intern_vit_6b": 0.4,
    "beit_base": 0.15,
    "beit_large": 0.4,
    "convnext_tiny": 0.3,
    "convnext_small": 0.3,
    "convnext_base": 0.4,
    "convnext_large": 0.4,
}


def drop_path(model: str, families: set[str], classifier: bool = False) -> float:
    """Return the published stochastic-depth rate of a model; `families` are those of all branches' weights.

    Source: the published configs. AugReg and DINOv2 raise the rates of ViT-S and ViT-B in detectors; classifiers have
    one of their own for ViT-B. Free models get the rate of the catalogued ViT of their size.
    """
    if classifier and model == "vit_base":
        return 0.2
    if not classifier and families & {"augreg", "dinov2"} and model in ("vit_small", "vit_base"):
        return {"vit_small": 0.2, "vit_base": 0.3}[model]
    if model in _DROP_PATH:
        return _DROP_PATH[model]
    size = catalog.model(model).weights
    larger = [name for name in ("vit_small", "vit_base") if catalog.MODELS[name].weights >= size]
    return _DROP_PATH[larger[0] if larger else "vit_large"]

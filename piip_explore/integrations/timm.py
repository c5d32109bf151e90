"""Designs as timm models: importing this module registers `piip`.

    import timm
    import piip_explore.integrations.timm

    timm.create_model("piip", design="vit_tiny@448 vit_small@224", features_only=True)

`in_chans`, `num_classes`, `drop_path_rate`, `out_indices` and `pretrained_cfg_overlay` mean what they mean for every
model of timm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from timm.models import PretrainedCfg, build_model_with_cfg, register_model
from torch import Tensor, nn

from piip_explore.catalog import ViT
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.integrations.feature_maps import feature_maps
from piip_explore.models import build
from piip_explore.models.merging import PooledHead, SeparateHeads
from piip_explore.preset_names import merge_serves

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class PIIP(nn.Module):
    """A design's network with timm's interface.

    Args:
        design: the design's text.
        num_classes: classes of the design's own classifier; 0 for the pooled features before it, or with
            `features_only` for the maps alone.
        in_chans: channels of the images.
        drop_path_rate: stochastic-depth rate of the deepest blocks.
        features_only: the network returns maps: build no classifier.

    Raises:
        InputError: a text that is not a design, or one whose merge has no classifier where one is wanted.
    """

    def __init__(
        self,
        design: str,
        num_classes: int = 1000,
        in_chans: int = 3,
        drop_path_rate: float = 0.0,
        features_only: bool = False,
    ) -> None:
        super().__init__()
        self.design = Design.parse(design)
        self.in_chans, self.num_classes = in_chans, num_classes
        if not features_only:
            _check_classifier(self.design, num_classes)
        classes = None if features_only else num_classes or 1
        self.pyramid = build(self.design, num_classes=classes, drop_path=drop_path_rate, in_channels=in_chans)
        self.head, self.pyramid.head = None if features_only else self.pyramid.head, None
        if num_classes == 0 and isinstance(self.head, PooledHead):
            self.head.fc = nn.Identity()
        maps = feature_maps(self.design)
        self.num_features = self.head_hidden_size = maps[-1].channels
        self.feature_info = [
            {"num_chs": one.channels, "reduction": one.stride, "module": f"stage{number}"}
            for number, one in enumerate(maps, 1)
        ]

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        """Return logits (B, classes) of images (B, C, H, W); pooled features where there are no classes."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> list[Tensor]:
        """Return the maps (B, C', H', W') of images (B, C, H, W)."""
        return self.pyramid(x)

    def forward_head(self, x: list[Tensor], pre_logits: bool = False) -> Tensor | list[Tensor]:
        """Return logits (B, classes) of maps; with `pre_logits`, the pooled features (B, features) before them."""
        if self.head is None:
            return x
        if not pre_logits:
            return self.head(x)
        if not isinstance(self.head, PooledHead):
            raise InputError(
                "merge=separate-heads has no features that all classifiers share: pre_logits=True needs one"
            )
        return self.head.pool(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | Sequence[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[list[Tensor], list[Tensor]]:
        """Return the maps of `indices` (an int: so many of the last; None: all), and all maps beside them.

        No final norm follows the maps, and the last of them needs the whole network, so that `norm` and `stop_early`
        change nothing.
        """
        if output_fmt != "NCHW":
            raise InputError(f"output_fmt '{output_fmt}': the maps are NCHW")
        maps = self.forward_features(x)
        chosen = [maps[index] for index in self._indices(indices)]
        return chosen if intermediates_only else (maps, chosen)

    def prune_intermediate_layers(
        self, indices: int | Sequence[int] | None = None, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the classifier, which no map needs; return the indices of the maps from 0."""
        if prune_head:
            self.head = None
        return self._indices(indices)

    def get_classifier(self) -> nn.Module | None:
        """Return the layer that gives the logits, None where there is none."""
        return self.head.fc if isinstance(self.head, PooledHead) else self.head

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a fresh classifier in the place of the design's own; 0 classes for the pooled features."""
        _check_classifier(self.design, num_classes)
        self.num_classes = num_classes
        if isinstance(self.head, PooledHead):
            self.head.fc = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        elif isinstance(self.head, SeparateHeads):
            dims = [one.channels for one in feature_maps(self.design)]
            self.head = SeparateHeads(dims, num_classes, self.design.merge.weighting)

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass to save memory."""
        for branch in self.pyramid.branches:
            branch.checkpointing = enable  # type: ignore[assignment]

    def no_weight_decay(self) -> set[str]:
        """Return the names of position embeddings and class tokens, which are trained without weight decay."""
        return {name for name, _ in self.named_parameters() if name.endswith(("pos_embed", "cls_token"))}

    def _indices(self, indices: int | Sequence[int] | None) -> list[int]:
        numbers = range(len(self.feature_info))
        if indices is None:
            return list(numbers)
        if isinstance(indices, int):
            return list(numbers[-indices:])
        try:
            return [numbers[index] for index in indices]
        except IndexError:
            raise InputError(f"out_indices {tuple(indices)}: '{self.design}' has maps 0 to {numbers[-1]}") from None


def piip(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build the network of `design` (its text), which timm calls for `create_model("piip", design=...)`.

    Raises:
        InputError: no design is given, or it does not do what is asked for; the sentence says which.
    """
    if "design" not in kwargs:
        raise InputError(
            "timm's model 'piip' needs a design: create_model('piip', design='vit_tiny@448 vit_small@224')"
        )
    design = Design.parse(kwargs["design"])
    maps = feature_maps(design)
    features_only = kwargs.get("features_only", False)
    if features_only and [one.stride for one in maps] != sorted(one.stride for one in maps):
        strides = ", ".join(f"{one.stride:g}" for one in maps)
        raise InputError(f"'{design}' has maps of strides {strides}: timm wants them rising, so order the branches so")
    if kwargs.get("pretrained_cfg") is None:
        kwargs["pretrained_cfg"] = pretrained_cfg(design)
    return build_model_with_cfg(
        lambda **options: PIIP(features_only=features_only, **options),
        "piip",
        pretrained,
        pretrained_filter_fn=checkpoint_filter_fn,
        feature_cfg={"out_indices": tuple(range(len(maps))), "feature_cls": "getter"},
        **kwargs,
    )


def pretrained_cfg(design: Design) -> PretrainedCfg:
    """Return what timm's data pipeline and its loading of weights know of a design; there are no weights to fetch."""
    size = design.resolution
    has_classifier = _has_classifier(design)
    head = [f"head.heads.{i}" for i in range(len(design.out))] if design.merge.kind == "separate-heads" else ["head.fc"]
    return PretrainedCfg(
        architecture="piip",
        num_classes=1000 if has_classifier else 0,
        input_size=(3, size, size),
        crop_pct=1.0,
        interpolation="bicubic",
        mean=_MEAN,
        std=_STD,
        first_conv=tuple(
            f"pyramid.branches.{i}.{'patch_embed.proj' if isinstance(branch.spec, ViT) else 'stem.0'}"
            for i, branch in enumerate(design.branches)
        ),
        classifier=tuple(head) if has_classifier else None,
    )


def checkpoint_filter_fn(state_dict: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return a file's tensors by this model's names; files of piip-explore itself name them without `pyramid.`."""
    return {
        name if name.startswith(("pyramid.", "head.")) else f"pyramid.{name}": tensor
        for name, tensor in state_dict.items()
    }


def _has_classifier(design: Design) -> bool:
    return len(design.branches) == 1 or merge_serves(design.merge.kind, "classification")


def _check_classifier(design: Design, num_classes: int) -> None:
    if not _has_classifier(design):
        raise InputError(
            f"merge={design.merge.kind} makes maps and no classifier: create the model with features_only=True, or "
            "choose merge=linear or merge=separate-heads"
        )
    if num_classes == 0 and design.merge.kind == "separate-heads":
        raise InputError(
            "merge=separate-heads has no pooled features to return for num_classes=0: choose merge=linear, or create "
            "the model with features_only=True"
        )


register_model(piip)

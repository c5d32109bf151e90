"""Designs as backbones of Hugging Face transformers: importing this module registers `piip`.

    from transformers import AutoBackbone
    from piip_explore.integrations.transformers import PIIPConfig

    AutoBackbone.from_config(PIIPConfig(design="vit_tiny@448 vit_small@224"))

The config goes into `backbone_config` of UperNet, Mask2Former, RT-DETR and others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from transformers import AutoBackbone, AutoConfig, PretrainedConfig, PreTrainedModel
from transformers.backbone_utils import BackboneConfigMixin, BackboneMixin
from transformers.modeling_outputs import BackboneOutput

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.integrations.feature_maps import feature_maps
from piip_explore.models import build


class PIIPConfig(BackboneConfigMixin, PretrainedConfig):
    """What a backbone is built from; `config.json` holds the design as its text.

    Args:
        design: the design's text.
        num_channels: channels of the images.
        drop_path_rate: stochastic-depth rate of the deepest blocks.
        out_features: names of the maps to return, among `stage_names` (`stage1` is the first); all of them by default.
        out_indices: their places, from 0, in place of their names.

    Raises:
        InputError: a text that is not a design.
    """

    model_type = "piip"

    def __init__(
        self,
        design: str = "vit_tiny@448 vit_small@224",
        num_channels: int = 3,
        drop_path_rate: float = 0.0,
        out_features: list[str] | None = None,
        out_indices: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        parsed = Design.parse(design)
        self.design, self.num_channels, self.drop_path_rate = str(parsed), num_channels, drop_path_rate
        self.image_size = parsed.resolution
        self.stage_names = [f"stage{number}" for number in range(1, len(feature_maps(parsed)) + 1)]
        if out_features is None and out_indices is None:
            out_features = list(self.stage_names)
        self.set_output_features_output_indices(out_features, None if out_indices is None else list(out_indices))


class PIIPBackbone(BackboneMixin, PreTrainedModel):
    """A design's network without a classifier; its feature maps are those of the design's merge."""

    config_class = PIIPConfig
    base_model_prefix = "pyramid"
    main_input_name = "pixel_values"
    has_attentions = False
    supports_gradient_checkpointing = True

    def __init__(self, config: PIIPConfig) -> None:
        super().__init__(config)
        design = Design.parse(config.design)
        self.num_features = [one.channels for one in feature_maps(design)]
        self.pyramid = build(design, drop_path=config.drop_path_rate, in_channels=config.num_channels)
        self.pyramid.head = None  # separate heads are not part of a backbone
        self._to_be_loaded = next(self.pyramid.parameters()).is_meta
        self.post_init()

    def forward(self, pixel_values: Tensor, return_dict: bool | None = None, **kwargs: Any) -> BackboneOutput:
        """Return the chosen maps (B, C, H, W) of images (B, channels, H, W) as `feature_maps`.

        Intermediate tokens and attention weights are not returned, whatever is asked for.
        """
        maps = self.pyramid(pixel_values)
        chosen = tuple(maps[self.stage_names.index(name)] for name in self.out_features)
        return BackboneOutput(feature_maps=chosen) if return_dict is not False else (chosen,)

    def _set_gradient_checkpointing(self, enable: bool = True, **options: Any) -> None:
        """Recompute blocks in the backward pass: all of them, and as the network does it, whatever `options` say."""
        for branch in self.pyramid.branches:
            branch.checkpointing = enable  # type: ignore[assignment]

    def _init_weights(self, module: nn.Module) -> None:
        """Keep the weights that the network was built with.

        Raises:
            InputError: it was built without memory, for a checkpoint that turns out to lack weights of the module.
        """
        if not self._to_be_loaded:
            return
        for name, parameter in module.named_parameters(recurse=False):
            if not getattr(parameter, "_is_hf_initialized", False):
                place = next(path for path, one in self.named_modules() if one is module)
                raise InputError(f"the checkpoint lacks '{place}.{name}' of the backbone: load one that has all of it")


AutoConfig.register(PIIPConfig.model_type, PIIPConfig)
AutoBackbone.register(PIIPConfig, PIIPBackbone)

"""How families of pre-trained branches name their tensors, and what those names become here.

Ours are timm's names, so timm, DeiT, DeiT III, AugReg, MAE, DINOv2, SigLIP 2 and PE need almost no renaming; DINOv3,
CLIP, InternViT and ConvNeXt of Hugging Face, the original ConvNeXt, BEiTv2 and Uni-Perceiver are renamed by the rules
below.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from piip_explore.official.names import CONVNEXT_TO_OURS

Rules = list[tuple[str, str]]


@dataclass(frozen=True)
class Family:
    """A way of naming: `rules` rename, `unread` are names that may be left out, `optional` ours that it may lack.

    A file belongs to the first family whose `mark` and `needs` each match one of its names and whose `lacks` matches
    none. `rotary` says whether its models have rotary positions, which leave no tensor in a file; None if names do not
    tell. `models` is how the catalog's names of its models begin, if it has models of its own.
    """

    name: str
    mark: str
    rules: Rules
    unread: str
    needs: str = ""
    lacks: str = ""
    optional: str = ""
    rotary: bool | None = None
    models: str = ""

    def fits(self, names: Collection[str]) -> bool:
        """Say whether the names of a file's tensors are this family's."""

        def has(pattern: str) -> bool:
            return any(re.fullmatch(pattern, name) for name in names)

        return has(self.mark) and (not self.needs or has(self.needs)) and not (self.lacks and has(self.lacks))


_TIMM_VIT_UNREAD = (
    r"(norm|fc_norm|head|head_dist|head_drop|pre_logits|decoder_\w+|lm_head|clip_projector|attn_pool|neck)\..*"
    r"|cls_token|dist_token|mask_token|register_tokens|reg_token|decoder_pos_embed"
    r"|.*relative_position_index|logit_scale"
)
_SCALES = (r"blocks\.(\d+)\.gamma_(\d)", r"blocks.\1.ls\2.gamma")
_LAYER = r"(?:vision_model\.)?encoder\.layers\.(\d+)\."

FAMILIES = (
    Family(
        "InternViT (Hugging Face)",
        r"(vision_model\.)?encoder\.layers\.0\.attn\.qkv\.weight",
        [
            (r"(?:vision_model\.)?embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"(?:vision_model\.)?embeddings\.position_embedding$", "pos_embed"),
            (_LAYER + r"ls(\d)$", r"blocks.\1.ls\2.gamma"),
            (_LAYER + r"(.+)", r"blocks.\1.\2"),
        ],
        r"(vision_model\.)?embeddings\.class_embedding",
    ),
    Family(
        "CLIP (Hugging Face)",
        r"(vision_model\.)?embeddings\.class_embedding",
        [
            (r"(?:vision_model\.)?embeddings\.patch_embedding\.", "patch_embed.proj."),
            (r"(?:vision_model\.)?embeddings\.position_embedding\.weight", "pos_embed"),
            (r"(?:vision_model\.)?embeddings\.class_embedding", "cls_token"),
            (r"(?:vision_model\.)?pre_layrnorm\.", "norm_pre."),
            (_LAYER + r"layer_norm(\d)\.", r"blocks.\1.norm\2."),
            (_LAYER + r"self_attn\.out_proj\.", r"blocks.\1.attn.proj."),
            (_LAYER + r"self_attn\.([qkv])_proj\.(weight|bias)", r"blocks.\1.attn.\2.\3"),
            (_LAYER + r"mlp\.fc(\d)\.", r"blocks.\1.mlp.fc\2."),
        ],
        r"(vision_model\.)?post_layernorm\..*|text_model\..*|text_projection\..*|visual_projection\..*|logit_scale"
        r"|.*position_ids",
    ),
    Family(
        "Uni-Perceiver",
        r"visual_embed\.patch_embed\.proj\.weight",
        [
            (r"visual_embed\.patch_embed\.proj\.", "patch_embed.proj."),
            (r"visual_embed\.patch_embed\.spatial_pos_embed\.weight", "pos_embed"),
            (r"layers\.(\d+)\.norm(\d)\.", r"blocks.\1.norm\2."),
            (r"layers\.(\d+)\.self_attn\.in_proj_", r"blocks.\1.attn.qkv."),
            (r"layers\.(\d+)\.self_attn\.out_proj\.", r"blocks.\1.attn.proj."),
            (r"layers\.(\d+)\.linear(\d)\.", r"blocks.\1.mlp.fc\2."),
            (r"layers\.(\d+)\.gamma_(\d)", r"blocks.\1.ls\2.gamma"),
        ],
        # The norm after the embedding is left out: neither our branch nor PIIP's ViT has one.
        r"visual_embed\.(embeddings_norm|embeddings_type)\..*|visual_embed\.patch_embed\.temporal_pos_embed\.weight"
        r"|(token_embed|video_embed|prompt_embed|cls_head|predictor|loss_prepare)\..*|logit_scale",
    ),
    Family(
        "ConvNeXt (Hugging Face)",
        r"(convnext\.)?embeddings\.patch_embeddings\.weight",
        [(r"(?:convnext\.)?" + pattern, replacement) for pattern, replacement in CONVNEXT_TO_OURS],
        r"((convnext\.)?layernorm|classifier)\..*",
    ),
    Family(
        "ConvNeXt (original)",
        r"downsample_layers\.0\.0\.weight",
        [
            (r"downsample_layers\.0\.", "stem."),
            (r"downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
            (r"stages\.(\d+)\.(\d+)\.dwconv\.", r"stages.\1.blocks.\2.conv_dw."),
            (r"stages\.(\d+)\.(\d+)\.pwconv(\d)\.", r"stages.\1.blocks.\2.mlp.fc\3."),
            (r"stages\.(\d+)\.(\d+)\.(norm\.|gamma)", r"stages.\1.blocks.\2.\3"),
        ],
        r"(norm|head)\..*",
    ),
    Family(
        "ConvNeXt (timm)",
        r"(visual\.trunk\.)?stem\.0\.weight",
        [(r"visual\.trunk\.", "")],
        r"(visual\.trunk\.)?(head|norm_pre)\..*|visual\.head\..*|(transformer|token_embedding|ln_final)\..*"
        r"|text_projection|positional_embedding|logit_scale|attn_mask",
    ),
    Family(
        "DINOv3",
        r"reg_token|storage_tokens",
        [
            (r"storage_tokens$", "reg_token"),
            _SCALES,
            (r"blocks\.(\d+)\.mlp\.w1\.", r"blocks.\1.mlp.fc1_g."),
            (r"blocks\.(\d+)\.mlp\.w2\.", r"blocks.\1.mlp.fc1_x."),
            (r"blocks\.(\d+)\.mlp\.w3\.", r"blocks.\1.mlp.fc2."),
        ],
        _TIMM_VIT_UNREAD + r"|rope_embed\.periods|local_cls_norm\..*",
        lacks="pos_embed",
        optional=r"blocks\.\d+\.attn\.qkv\.bias",  # zero, and left out of most of timm's files
        rotary=True,
        models="dinov3",
    ),
    Family(
        "DINOv2 (with registers)",
        r"reg_token|register_tokens",
        [
            (r"register_tokens$", "reg_token"),
            (r"blocks\.(\d+)\.mlp\.w12\.", r"blocks.\1.mlp.fc1."),
            (r"blocks\.(\d+)\.mlp\.w3\.", r"blocks.\1.mlp.fc2."),
        ],
        _TIMM_VIT_UNREAD,
        rotary=False,
        models="dinov2_reg",
    ),
    Family(
        "BEiTv2",
        r"blocks\.0\.attn\.(q_bias|relative_position_bias_table)|rel_pos_bias\.relative_position_bias_table",
        [
            _SCALES,
            (r"blocks\.(\d+)\.attn\.relative_position_bias_table", r"blocks.\1.attn.bias.relative_position_bias_table"),
        ],
        _TIMM_VIT_UNREAD + r"|cls_pt_layers\..*",
    ),
    Family(
        "PE core (timm)",
        r"attn_pool\.latent",
        [],
        _TIMM_VIT_UNREAD,
        needs=r"norm_pre\.weight",
        rotary=True,
        models="pe_core",
    ),
    Family("CLIP (timm)", r"norm_pre\.weight", [], _TIMM_VIT_UNREAD, needs=r"(fc_)?norm\.weight", rotary=False),
    Family("SigLIP (timm)", r"attn_pool\.latent", [], _TIMM_VIT_UNREAD, rotary=False, models="siglip2"),
    Family(
        "timm (DeiT, AugReg, MAE, DINOv2, InternViT, PE spatial)",
        r"patch_embed\.proj\.weight",
        [
            _SCALES,
            (r"blocks\.(\d+)\.attn\.inner_attn\.", r"blocks.\1.attn."),
        ],
        _TIMM_VIT_UNREAD,
    ),
)

"""The models that have names, as data.

Sources: PIIP (arXiv 2501.07783, Sec. IV; arXiv 2406.04330), DeiT III (arXiv 2204.07118), ConvNeXt (arXiv 2201.03545),
InternVL (arXiv 2312.14238), BEiT v2 (arXiv 2208.06366), DINOv2 (arXiv 2304.07193), CLIP (arXiv 2103.00020). Registers
(arXiv 2309.16588), DINOv3 (arXiv 2508.10104), SigLIP 2 (arXiv 2502.14786) and Perception Encoder (PE, arXiv 2504.13181)
have the structure of timm's models.
"""

from __future__ import annotations

from functools import partial
from math import pi

from piip_explore.catalog.kinds import ConvNeXt, Model, Rotary, ViT

# DINOv2 with registers: a class token, four registers, patches of 14.
_DINOV2_REG = partial(ViT, patch=14, class_token=True, registers=4)
# DINOv3: only rotary positions. Each axis of the image runs from -1 to 1, and the fastest pair turns once per unit.
_DINOV3 = partial(
    ViT,
    norm_eps=1e-5,
    position="none",
    rotary=Rotary(base=100, extent=4 * pi, offset=0.5, origin=-2 * pi, halves=True),
    class_token=True,
    registers=4,
)
# SigLIP 2: no class token and no LayerScale. GELU as timm has it, exact in the two smaller models.
_SIGLIP2 = partial(ViT, layer_scale=False)


def _pe(depth: int, dim: int, heads: int, side: int, patch: int = 16) -> ViT:
    """Return a model of PE: CLIP's structure with rotary positions too, on a map of the pre-training's `side`."""
    rotary = Rotary(base=10_000, extent=side, offset=1, columns_first=True)
    return ViT(
        depth, dim, heads, patch, norm_eps=1e-5, layer_scale=False, rotary=rotary, embed_norm=True, class_token=True
    )


MODELS: dict[str, Model] = {
    # DeiT, DeiT III, AugReg, MAE, Uni-Perceiver: one structure (the authors' code gives all of them LayerScale).
    "vit_tiny": ViT(12, 192, 3),
    "vit_small": ViT(12, 384, 6),
    "vit_base": ViT(12, 768, 12),
    "vit_large": ViT(24, 1024, 16),
    "vit_huge": ViT(32, 1280, 16),
    "intern_vit_6b": ViT(48, 3200, 25, qkv_bias=False, norm="rms", qk_norm=True),
    "beit_base": ViT(12, 768, 12, position="relative"),
    "beit_large": ViT(24, 1024, 16, position="relative"),
    "clip_base": ViT(12, 768, 12, layer_scale=False, embed_norm=True, activation="quick-gelu", class_token=True),
    "clip_large": ViT(24, 1024, 16, layer_scale=False, embed_norm=True, activation="quick-gelu", class_token=True),
    "dinov2_reg_small": _DINOV2_REG(12, 384, 6),
    "dinov2_reg_base": _DINOV2_REG(12, 768, 12),
    "dinov2_reg_large": _DINOV2_REG(24, 1024, 16),
    "dinov2_reg_giant": _DINOV2_REG(40, 1536, 24, mlp_ratio=8 / 3, activation="swiglu"),
    "dinov3_tiny": _DINOV3(12, 192, 3),
    "dinov3_small": _DINOV3(12, 384, 6),
    "dinov3_small_plus": _DINOV3(12, 384, 6, activation="swiglu"),
    "dinov3_base": _DINOV3(12, 768, 12),
    "dinov3_large": _DINOV3(24, 1024, 16),
    "dinov3_huge_plus": _DINOV3(32, 1280, 20, activation="swiglu"),
    "dinov3_7b": _DINOV3(40, 4096, 32, mlp_ratio=2, qkv_bias=False, activation="swiglu"),
    "siglip2_base": _SIGLIP2(12, 768, 12),
    "siglip2_large": _SIGLIP2(24, 1024, 16),
    "siglip2_so400m": _SIGLIP2(27, 1152, 16, mlp_ratio=4304 / 1152, activation="gelu-tanh"),
    "siglip2_giant": _SIGLIP2(40, 1536, 16, activation="gelu-tanh"),
    "pe_core_tiny": _pe(12, 192, 3, side=24),
    "pe_core_small": _pe(12, 384, 6, side=24),
    "pe_core_base": _pe(12, 768, 12, side=14),
    "pe_core_large": _pe(24, 1024, 16, side=24, patch=14),
    "pe_spatial_tiny": _pe(12, 192, 3, side=32),
    "pe_spatial_small": _pe(12, 384, 6, side=32),
    "pe_spatial_base": _pe(12, 768, 12, side=32),
    "pe_spatial_large": _pe(24, 1024, 16, side=32, patch=14),
    "convnext_tiny": ConvNeXt((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ConvNeXt((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ConvNeXt((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ConvNeXt((3, 3, 27, 3), (192, 384, 768, 1536)),
}
# DINOv2's ViTs without registers differ from vit_small/base/large only in the patch they were trained with (14), which
# is resampled to 16 when loaded, so they need no name of their own.

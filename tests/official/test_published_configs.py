"""Configs written as the published ones are, with their structure, as designs."""

from __future__ import annotations

from pathlib import Path

import pytest

from piip_explore import Design
from piip_explore.export import exporter
from piip_explore.official.evaluate import evaluate
from piip_explore.official.import_design import import_config

COMMON = """
common = dict(n_points=4, deform_num_heads=16, cffn_ratio=0.25, deform_ratio=0.5, with_cffn=True,
    interact_attn_type='deform', interaction_drop_path_rate=0.4)
every = [[i, i] for i in range(12)]
second = [[2 * i, 2 * i + 1] for i in range(12)]
patches = dict(pretrain_img_size=224, patch_size=16, pretrain_patch_size=16, mlp_ratio=4, qkv_bias=True)
"""

LLAVA_TWO_INTERACTIONS = """
model = dict(
    backbone=dict(**common, model_cls='2branch_mix', unfreeze='none', use_branch_merging=False,
        branch1=dict(model_type='clip_hf', img_size=224, patch_size=16, pretrain_patch_size=16,
            interaction_indexes=[[0, 11], [12, 23]], pretrained='OpenGVLab/clip-vit-large-patch14to16-224',
            use_cls_token=True),
        branch2=dict(model_type='convnext_timm', img_size=640, interaction_indexes=[[0, 19], [20, 38]],
            downsample_ratios=[4] * 3 + [8] * 4 + [16] * 28 + [32] * 4,
            pretrained='convnext_base.clip_laiona_augreg_320')),
    projector=dict(type='separate_2branch_v1', dim1=1024, dim2=1024, norm='gn'))
"""

LLAVA_24_INTERACTIONS = """
model = dict(
    backbone=dict(**common, model_cls='2branch_mix', unfreeze='none', use_branch_merging=False,
        branch1=dict(model_type='clip_hf', img_size=336, patch_size=16, pretrain_patch_size=16,
            interaction_indexes=[[i, i] for i in range(24)], pretrained='OpenGVLab/clip-vit-large-patch14to16-336',
            use_cls_token=True),
        branch2=dict(model_type='convnext_timm', img_size=1024,
            interaction_indexes=[[0, 1], [2, 2], [3, 4], [5, 6], [7, 9], [10, 10], [11, 12],
                [13, 13], [14, 15], [16, 16], [17, 18], [19, 19], [20, 21], [22, 22], [23, 24], [25, 25], [26, 27],
                [28, 28], [29, 30], [31, 31], [32, 33], [34, 34], [35, 36], [37, 38]],
            downsample_ratios=[4] * 3 + [8] * 4 + [16] * 28 + [32] * 4,
            pretrained='convnext_large_mlp.clip_laion2b_ft_320')),
    projector=dict(type='separate_2branch_v1', dim1=1024, dim2=1536, norm='gn'))
"""

CLASSIFIER_WITHOUT_MODEL_TYPES = """
shared = dict(**patches, init_scale=1.0, drop_rate=0.0, interaction_indexes=every, use_cls_token=True,
    use_flash_attn=True, with_cp=True)
model = dict(backbone=dict(**common, separate_head=True,
    branch1=dict(img_size=128, depth=12, embed_dim=768, num_heads=12, pretrained='pretrained/deit_base.pth', **shared),
    branch2=dict(img_size=192, depth=12, embed_dim=384, num_heads=6, pretrained='pretrained/deit_small.pth', **shared),
    branch3=dict(img_size=368, depth=12, embed_dim=192, num_heads=3, pretrained='pretrained/deit_tiny.pth', **shared)))
"""

AUGREG_CLASSIFIER = """
shared = dict(**patches, model_type='augreg', use_cls_token=True, use_flash_attn=True, with_cp=True)
model = dict(backbone=dict(**common, separate_head=True,
    branch1=dict(img_size=128, depth=24, embed_dim=1024, num_heads=16, interaction_indexes=second, pretrained='L.pth',
        **shared),
    branch2=dict(img_size=192, depth=12, embed_dim=768, num_heads=12, interaction_indexes=every, pretrained='B.pth',
        **shared)))
"""

FAST_INTERNVIT = """
_base_ = ['../../_base_/models/mask_rcnn_r50_fpn.py']
intern = dict(patch_size=16, mlp_ratio=4, with_cp=True, use_flash_attn=True, layerscale_force_fp32=False,
    with_fpn=False, drop_path_rate=0.4, mlp_type='fused_mlp', pretrain_img_size=224, pretrain_patch_size=14)
model = dict(backbone=dict(_delete_=True, type='PIIPThreeBranch', **common, interaction_proj=False, norm_layer="none",
    branch1=dict(real_size=512, depth=48, embed_dim=3200, num_heads=25, qkv_bias=False, init_values=0.1,
        qk_normalization=True, interaction_indexes=[[0, 11], [12, 23], [24, 35], [36, 47]],
        pretrained='pretrained/intern_vit_6b_224px.pth', norm_layer_type='RMSNorm', **intern),
    branch2=dict(real_size=1024, depth=32, embed_dim=1280, num_heads=16, qkv_bias=True, init_values=1.0,
        qk_normalization=False, interaction_indexes=[[0, 7], [8, 15], [16, 23], [24, 31]],
        pretrained='pretrained/mae_pretrain_vit_huge.pth', norm_layer_type='LayerNorm', **intern),
    branch3=dict(real_size=1536, depth=24, embed_dim=1024, num_heads=16, drop_path_rate=0.4, init_scale=1,
        with_fpn=False, interaction_indexes=[[0, 5], [6, 11], [12, 17], [18, 23]],
        pretrained="./pretrained/deit_3_large_384_21k.pth", use_flash_attn=True, Mlp_block="fused_mlp", **patches)))
"""

VIT_ABOVE_CONVNEXT = """
image_size = 1024
windows = dict(window_attn=[True, True, True] * 4, window_size=[14, 14, 14] * 4)
vit = dict(**patches, **windows, interaction_indexes=every, init_scale=1., with_fpn=False, use_flash_attn=True)
model = dict(backbone=dict(type='PIIPThreeBranch', **common, with_simple_fpn=False,
    out_interaction_indexes=[0, 1, 10],
    branch1=dict(real_size=448, depth=12, embed_dim=768, num_heads=12, pretrained="./deit_3_base_224_21k.pth", **vit),
    branch2=dict(real_size=672,
        interaction_indexes=[[0, 2], [3, 6], [7, 10], *[[i, i + 2] for i in range(11, 35) if i % 3 == 2], [35, 38]],
        downsample_ratios=[
            4, 4, 4,
            8, # down-sampling
            8, 8, 8,
            *([16] * 28),
            32, 32, 32, 32,
        ],
        pretrained="facebook/convnext-small-224", drop_path_rate=0.3),
    branch3=dict(real_size=image_size, depth=12, embed_dim=192, num_heads=3, pretrained="./deit_tiny.pth", **vit)))
"""

INTERNVIT_ALONE = """
pretrained = './pretrained/intern_vit_6b_224px.pth'
model = dict(backbone=dict(_delete_=True, type='InternViT6B', pretrain_img_size=224, pretrain_patch_size=14,
    patch_size=16, embed_dim=3200, depth=48, num_heads=25, mlp_ratio=4., qkv_bias=False, init_values=0.1, with_cp=True,
    qk_normalization=True, with_fpn=True, out_indices=[47], pretrained=pretrained, norm_layer_type='RMSNorm'))
img_norm_cfg = dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5], to_rgb=True)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='AutoAugment', policies=[[dict(type='Resize', img_scale=[(480, 1333), (800, 1333)])]]),
    dict(type='RandomCrop', crop_type='absolute_range', crop_size=(1024, 1024), allow_negative_crop=True),
    dict(type='Normalize', **img_norm_cfg),
]
"""

CONVNEXT_ALONE = """
model = dict(backbone=dict(_delete_=True, type='ConvNextHFWrapper', real_size=1024, with_simple_fpn=False,
    pretrained="facebook/convnext-base-224", single_branch=True))
"""

CONFIGS = {
    "llava": (
        LLAVA_TWO_INTERACTIONS,
        "llava",
        "convnext_base@640 clip_large@224; interactions=2; merge=none",
    ),
    "llava 13B": (
        LLAVA_24_INTERACTIONS,
        "llava",
        "convnext_large@1024 clip_large@336; interactions=24; merge=none",
    ),
    "classifier": (
        CLASSIFIER_WITHOUT_MODEL_TYPES,
        "classification",
        "vit_tiny@368 vit_small@192 vit_base@128; merge=separate-heads",
    ),
    "augreg": (AUGREG_CLASSIFIER, "classification", "vit_base@192 vit_large@128; merge=separate-heads"),
    "internvit": (
        FAST_INTERNVIT,
        "detection",
        "vit_large@1536 vit_huge@1024 intern_vit_6b@512; interactions=4; project=no",
    ),
    "mixed": (
        VIT_ABOVE_CONVNEXT,
        "detection",
        "vit_tiny@1024:w14 convnext_small@672 vit_base@448:w14; merge=conv-multilevel",
    ),
    "internvit alone": (INTERNVIT_ALONE, "detection", "intern_vit_6b@1024"),
    "convnext alone": (CONVNEXT_ALONE, "detection", "convnext_base@1024"),
}


@pytest.mark.parametrize(("text", "code_base", "design"), CONFIGS.values(), ids=CONFIGS)
def test_a_published_config_is_its_design_and_keeps_every_argument(
    text: str, code_base: str, design: str, tmp_path: Path
) -> None:
    path = tmp_path / "config.py"
    path.write_text(COMMON + text)
    imported = import_config(path)
    assert imported.design == Design.parse(design)
    assert imported.code_base == code_base
    assert not any("interacts after blocks" in note for note in imported.notes)
    made = exporter(f"official-{code_base}", keep=imported.backbone)
    ((name, again),) = made.export(imported.design).items()
    kept = dict(evaluate(COMMON + text, "config.py")["model"]["backbone"])
    kept.pop("_delete_", None)
    written = dict(evaluate(again, name)["model"]["backbone"])
    written.pop("_delete_", None)
    assert written == kept


def test_exported_arguments_of_published_designs_are_the_published_ones(tmp_path: Path) -> None:
    """Those that shape the network, for one config of every code base and style."""
    shaping = ("interaction_indexes", "real_size", "img_size", "depth", "embed_dim", "num_heads", "downsample_ratios")
    for text, code_base, design in CONFIGS.values():
        published = evaluate(COMMON + text, "config.py")["model"]["backbone"]
        made = exporter(f"official-{code_base}").config(Design.parse(design))["model"]["backbone"]  # type: ignore[attr-defined]
        for number in (1, 2, 3):
            if f"branch{number}" not in published:
                continue
            theirs, ours = published[f"branch{number}"], made[f"branch{number}"]
            assert {key: ours[key] for key in shaping if key in theirs} == {
                key: theirs[key] for key in shaping if key in theirs
            }
        for key in ("with_simple_fpn", "out_interaction_indexes", "separate_head", "interaction_proj", "norm_layer"):
            assert made.get(key) == published.get(key) or (code_base == "detection" and "single_branch" in published)

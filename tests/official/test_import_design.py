"""The authors' constructor arguments as designs: what configs say by default, and what no design expresses."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter
from piip_explore.export.pyconfig import plain
from piip_explore.official.import_design import import_backbone, import_config

PARITY = Path(__file__).parents[1] / "models" / "parity"

CONFIG = """
_base_ = ['../../_base_/models/mask_rcnn_r50_fpn.py', '../../_base_/default_runtime.py']
common = dict(patch_size=16, mlp_ratio=4, qkv_bias=True, use_flash_attn=True)
each = [[i, i] for i in range(12)]
model = dict(backbone=dict(
    _delete_=True, type='PIIPThreeBranch', n_points=4, deform_num_heads=16, cffn_ratio=0.25, deform_ratio=0.5,
    with_cffn=True, interact_attn_type='deform', interaction_drop_path_rate=0.4,
    branch1=dict(real_size=448, depth=24, embed_dim=1024, num_heads=16, pretrained='./deit_3_large.pth',
        interaction_indexes=[[i, i + 1] for i in range(0, 24) if i % 2 == 0], window_attn=[True] * 24,
        window_size=[28] * 24, **common),
    branch2=dict(real_size=672, interaction_indexes=each, pretrained='./deit_3_base.pth', window_attn=[True] * 12,
        window_size=[28] * 12, **common),
    branch3=dict(real_size=1120, embed_dim=384, num_heads=6, interaction_indexes=each, pretrained='./deit_3_small.pth',
        window_attn=[False if (i + 1) % 3 == 0 else True for i in range(12)],
        window_size=[-1 if i in [2, 5, 8, 11] else 28 for i in range(12)], **common),
))
"""


def test_a_config_as_the_authors_write_them(tmp_path: Path) -> None:
    path = tmp_path / "mask_rcnn_piip_sbl.py"
    path.write_text(CONFIG)
    imported = import_config(path)
    assert imported.design == Design.parse("vit_small@1120:w28g3 vit_base@672:w28 vit_large@448")
    assert imported.code_base == "detection"
    assert imported.notes == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "cls2_regular_attention",
            "vit[depth=2,dim=32,heads=1]@64 vit[depth=2,dim=64,heads=2]@32; interactions=2; "
            "attention=regular; heads=2; merge=linear",
        ),
        (
            "cls3_separate_heads",
            "vit[depth=2,dim=32,heads=1]@64 vit[depth=2,dim=32,heads=2]@48 vit[depth=4,dim=64,heads=4]@32; "
            "interactions=2; heads=4; merge=separate-heads",
        ),
        (
            "det3_convnext_vit",
            "convnext[depths=1-1-2-1,dims=32-32-64-64]@128 vit[depth=4,dim=32,heads=2]@96 "
            "vit[depth=4,dim=64,heads=4]@64; interactions=4; heads=4; merge=conv-multilevel",
        ),
        (
            "det3_window",
            "vit[depth=2,dim=32,heads=1]@160:w4g2 vit[depth=2,dim=32,heads=2]@128:w4 "
            "vit[depth=2,dim=64,heads=4]@64:w2; interactions=2; heads=4",
        ),
    ],
)
def test_reference_models(name: str, text: str) -> None:
    with safe_open(PARITY / f"{name}.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    imported = import_backbone(config)
    assert imported.design == Design.parse(text)
    # Its ConvNeXt interacts after blocks that no design has: [[0, 0], [1, 2], [3, 5], [6, 7]].
    other = "branch3 interacts after blocks [0, 2, 5, 7]; the design's network and its costs have [1, 3, 5, 7]"
    assert (other in imported.notes) == (name == "det3_convnext_vit")


def test_internvit_of_another_size_is_no_design() -> None:
    with safe_open(PARITY / "det2_internvit.safetensors", "pt") as file:
        config = json.loads(file.metadata()["config"])
    with pytest.raises(InputError, match="branch1: a InternViT6B of depth 4, width 64"):
        import_backbone(config)


def arguments(text: str, code_base: str = "detection") -> dict[str, Any]:
    made = exporter(f"official-{code_base}")
    return dict(plain(made.arguments(Design.parse(text))))


BREAKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "no feed-forward network": ({"with_cffn": False}, {}, "with_cffn=False"),
    "attention": ({"interact_attn_type": "linear"}, {}, "interact_attn_type='linear'"),
    "half without projection": ({"interaction_proj": False}, {}, "a design drops both or none"),
    "heads": ({"deform_num_heads": 7}, {}, "heads=7 does not divide"),
    "points": ({"n_points": "4"}, {}, "n_points='4'"),
    "ratio": ({"deform_ratio": "half"}, {}, "deform_ratio='half'"),
    "class": ({"type": "PIIPFourBranch"}, {}, "does not go with 3 branches"),
    "gap": ({"branch5": {}}, {}, "without a gap"),
    "section": ({"branch2": 3}, {}, "branch2 = 3"),
    "levels": ({"with_simple_fpn": False, "out_interaction_indexes": [3]}, {}, "out_interaction_indexes=[3]"),
    "no levels": ({"with_simple_fpn": False}, {}, "with_simple_fpn=False"),
    "levels that are none": ({"with_simple_fpn": False, "out_interaction_indexes": 3}, {}, "out_interaction_indexes=3"),
    "size": ({}, {"real_size": None}, "branch2: real_size=None"),
    "size that is not a size": ({}, {"real_size": True}, "branch2: real_size=True"),
    "size off the grid": ({}, {"real_size": 450}, "branch2: resolution 450"),
    "ranges": ({}, {"interaction_indexes": [[0, 5], [7, 11]]}, "branch2: interaction_indexes"),
    "no ranges": ({}, {"interaction_indexes": []}, "branch2: interaction_indexes"),
    "other positions": ({}, {"interaction_indexes": [[0, 0], [1, 11]]}, "interaction_indexes"),
    "windows": ({}, {"window_attn": [True] * 3}, "one entry for each of 12 blocks"),
    "two windows": ({}, {"window_attn": [True] * 12, "window_size": [14] * 6 + [7] * 6}, "one window per branch"),
    "odd globals": ({}, {"window_attn": [False] + [True] * 11, "window_size": [14] * 12}, "every 1th one"),
    "mlp": ({}, {"mlp_ratio": 3}, "branch2: mlp_ratio=3"),
    "bias": ({}, {"qkv_bias": False}, "branch2: a vit_models of depth 12"),
    "path": ({}, {"pretrained": 3}, "branch2: pretrained=3"),
    "order": ({}, {"real_size": 1280}, "do not rise in resolution"),
}


@pytest.mark.parametrize(("top", "section", "words"), BREAKS.values(), ids=BREAKS)
def test_what_no_design_expresses_is_named(top: dict[str, Any], section: dict[str, Any], words: str) -> None:
    config = arguments("vit_tiny@640 vit_small@512 vit_base@448") | top
    if section:
        config["branch2"] = config["branch2"] | section
    with pytest.raises(InputError) as refusal:
        import_backbone(config)
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_differences_outside_the_design_are_noted() -> None:
    config = arguments("vit_tiny@640 vit_small@512")
    assert "finest" in import_backbone(config | {"is_dino": True}).notes[0]
    config = arguments("vit_tiny@224 vit_base@128; merge=linear", "classification")
    config["branch1"] |= {"model_type": "augreg", "init_values": None}
    assert "no LayerScale" in import_backbone(config).notes[0]


def test_windows_that_do_not_tile_are_noted_where_attention_is_not_flash() -> None:
    """Their two attention classes pad at different points; the design's network pads as the flash one."""
    config = arguments("vit_tiny@640:w14 vit_small@448:w14")
    assert import_backbone(config).notes == ()
    slow = {name: config[name] | {"use_flash_attn": False} for name in ("branch1", "branch2")}
    (note,) = import_backbone(config | slow).notes  # 14 tiles the 28 of branch 1, not the 40 of branch 2
    assert "branch2 has use_flash_attn=False and windows of 14 on a map of 40" in note
    del config["branch2"]["use_flash_attn"]  # False by default in the class of DeiTs
    assert import_backbone(config).notes == (note,)


def test_files_without_a_backbone(tmp_path: Path) -> None:
    path = tmp_path / "c.py"
    for text, words in (
        ("x = 1", "no model=dict"),
        ("_base_ = 'gone.py'\nmodel = dict(neck=dict())", "'gone.py' was not found"),
        ("model = dict(backbone=dict(type='ResNet'))", "type='ResNet' is not PIIP's"),
        ("model = dict(backbone=dict(type='vit_models', qkv_bias=True, pretrained='deit'))", "no image size"),
        ("model = dict(backbone=dict(type='vit_models'))\ntrain_pipeline = [3, dict(type=[])]", "no image size"),
    ):
        path.write_text(text)
        with pytest.raises(InputError) as refusal:
            import_config(path)
        assert words in str(refusal.value)
        assert "c.py" in str(refusal.value)


JUNK: list[Any] = [None, True, -1, 0, 3.5, 10**9, "x", [], [1], [None] * 12, {}, {"a": 1}, [[0, 1]], ["deform"], [{}]]
STYLES = [
    ("vit_tiny@640:w14 vit_small@512 vit_base@448", "detection"),
    ("vit_tiny@1024 convnext_small@672 vit_base@448; merge=conv-multilevel", "detection"),
    ("vit_huge@1024 intern_vit_6b@512; project=no", "segmentation"),
    ("vit_tiny@384 vit_base@128; merge=separate-heads", "classification"),
    ("convnext_base@1024 clip_large@336; merge=none", "llava"),
    ("vit_base@1024:w14g3", "detection"),
]


@pytest.mark.parametrize(("text", "code_base"), STYLES)
def test_junk_in_any_argument_is_read_or_refused(text: str, code_base: str) -> None:
    config = arguments(text, code_base)
    extra = {"convnext": {"depths": 3, "hidden_sizes": [1]}, "type": "ResNet", "window_attn": True, "model_type": "x"}
    for junk in JUNK:
        broken = [config | {key: junk} for key in (*config, "with_simple_fpn", "is_dino", "num_classes", "branch01", 7)]
        for name in [name for name in config if name.startswith("branch")]:
            broken += [config | {name: config[name] | {key: junk}} for key in (*config[name], *extra)]
            broken += [config | {name: config[name] | {key: value}} for key, value in extra.items()]
        for backbone in broken:
            with contextlib.suppress(InputError):
                assert isinstance(import_backbone(backbone).design, Design)

"""Exported arguments against the table of the constructors' names, types and defaults in the authors' code bases."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter
from piip_explore.export.pyconfig import plain
from piip_explore.official.arguments import CLASS_NAMES
from piip_explore.official.pretrained import WEIGHTS
from piip_explore.space import SearchSpace
from tests.export.samples import ALL

TABLE: dict[str, dict[str, dict[str, str]]] = json.loads(
    (Path(__file__).parents[1] / "official" / "data" / "official_arguments.json").read_text()
)
# What the multi-branch classes read from a branch's section beside the arguments of the branch's own class.
SECTION = {
    "detection": {"real_size": 448, "interaction_indexes": [], "pretrained": ""},
    "segmentation": {"real_size": 448, "interaction_indexes": [], "pretrained": ""},
    "classification": {"model_type": "deit", "interaction_indexes": [], "pretrained": ""},
    "llava": {},
}
# Arguments whose default is None or of another type than the published values.
OTHER_TYPES = {
    "window_attn": (list, bool),
    "window_size": (list, int),
    "downsample_ratios": (list,),
    "norm_layer": (str,),
    "init_values": (float,),
    "pretrained": (str,),
    "drop_path_rate": (float,),
    "mlp_ratio": (int, float),
    "real_size": (int,),
}
# The encoders of the LLaVA code are not in the table; these are the keys of its published configs.
LLAVA = {
    "clip_hf": {
        "model_type": str,
        "img_size": int,
        "patch_size": int,
        "pretrain_patch_size": int,
        "interaction_indexes": list,
        "pretrained": str,
        "use_cls_token": bool,
    },
    "convnext_timm": {
        "model_type": str,
        "img_size": int,
        "interaction_indexes": list,
        "downsample_ratios": list,
        "pretrained": str,
    },
}
LLAVA_TOP = {"model_cls": str, "unfreeze": str, "use_branch_merging": bool}


def default_type(text: str) -> type | None:
    try:
        value = ast.literal_eval(text)
    except ValueError:
        return None
    return None if value is None else type(value)


def row(code_base: str, words: str) -> dict[str, str]:
    """Return the table's row whose name contains the words."""
    (found,) = [arguments for name, arguments in TABLE[code_base].items() if words in name]
    return found


def check(arguments: Mapping[str, Any], table: Mapping[str, str], also: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        assert name in table or name in also, f"{name} is not an argument"
        if name in OTHER_TYPES:
            assert isinstance(value, OTHER_TYPES[name]), (name, value)
        elif name in also:
            assert type(value) is type(also[name]), (name, value)
        elif (expected := default_type(table[name])) is not None:
            assert type(value) is expected, (name, value)


def branch_class(code_base: str, section: Mapping[str, Any]) -> str:
    """Return which class the authors' code makes of a section (by `model_type`, or a word in the weights' path)."""
    if code_base == "classification":
        return {"deit": "vit_models", "augreg": "InternViT6B"}[section["model_type"]]
    words = {"deit": "vit_models", "beit": "BEiT", "perceiver": "UnifiedBert", "convnext": "ConvNext"}
    return next((kind for word, kind in words.items() if word in section["pretrained"]), "InternViT6B")


def check_relations(code_base: str, section: Mapping[str, Any], kind: str) -> None:
    """Check what their classes need of several arguments of a ViT branch together."""
    if kind.startswith("ConvNext"):
        return
    depth = section["depth"]
    assert section["embed_dim"] % section["num_heads"] == 0
    assert {len(section[name]) for name in ("window_attn", "window_size") if name in section} <= {depth}
    assert section.get("interaction_indexes", [[0, depth - 1]])[-1][1] == depth - 1
    if code_base == "segmentation" and kind == "vit_models":
        # Nothing is interpolated in the forward pass: the embedding is of the branch's own size, and the file's grid
        # (14 for 224 pixels, 24 for 384) is told by the two pre-training sizes.
        assert section["pretrain_img_size"] == section["img_size"]
        grid = 24 if "_384_" in section["pretrained"] else 14
        assert section["img_size"] // section["pretrain_patch_size"] == grid
    if code_base == "classification" and kind == "InternViT6B":
        # Loaded strictly: a file without LayerScale needs a branch without it, InternViT's own has one.
        assert ("init_values" in section) == ("intern" in section["pretrained"])


SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))
CODE_BASES = ["detection", "segmentation", "classification"]


@pytest.mark.parametrize("code_base", CODE_BASES)
@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_shipped_spaces_export_arguments_that_build(code_base: str, path: Path) -> None:
    space = SearchSpace.load(path)
    for index in {round(k * (space.size - 1) / 12) for k in range(13)}:
        check_design(code_base, space.design(index))


@pytest.mark.parametrize("code_base", CODE_BASES)
@pytest.mark.parametrize("design", ALL, ids=str)
def test_arguments_are_those_of_the_authors_classes(code_base: str, design: Design) -> None:
    check_design(code_base, design)


def check_design(code_base: str, design: Design, **options: Any) -> None:
    made = exporter(f"official-{code_base}", **options)
    nearest = made.nearest(design)
    arguments = plain(made.arguments(nearest))
    # The classification code takes a backbone with a `type` for a detection config, which has other keys.
    assert ("type" in arguments) == (code_base != "classification")
    if len(nearest.branches) == 1:
        kind = arguments.pop("type", None) or ("InternViT6B" if "norm_layer_type" in arguments else "vit_models")
        check(arguments, row(code_base, kind), {})
        check_relations(code_base, arguments, kind)
        if code_base == "classification":
            assert arguments["use_cls_token"] == (kind == "InternViT6B")
        return
    kind = arguments.pop("type", None) or CLASS_NAMES[len(nearest.branches)]
    sections = {name: arguments.pop(name) for name in list(arguments) if name.startswith("branch")}
    table = TABLE[code_base][kind]
    assert set(sections) == {name for name in table if name.startswith("branch")}
    check(arguments, table, {})
    classes = {branch_class(code_base, section) for section in sections.values()}
    for section in sections.values():
        check(section, row(code_base, branch_class(code_base, section)), SECTION[code_base])
        check_relations(code_base, section, branch_class(code_base, section))
        if code_base == "classification":
            assert section["use_cls_token"] == arguments["separate_head"]
    if code_base != "detection" or len(sections) == 2:
        assert classes <= {"vit_models", "InternViT6B"}
    elif len(sections) == 4:
        assert classes == {"vit_models"}


@pytest.mark.parametrize(("model", "family"), [(m, w.family) for m, choices in WEIGHTS.items() for w in choices])
def test_every_pretraining_makes_the_class_that_its_arguments_are_for(model: str, family: str) -> None:
    if model.startswith("clip") or family == "clip":
        return
    chosen = next(w for w in WEIGHTS[model] if w.family == family)
    design = Design.parse(f"{model}@512 vit_tiny@768 vit_tiny@1024; interactions=4")
    arguments = plain(exporter("official-detection", pretrain={model: family}).arguments(design))
    section = arguments["branch1"]
    assert branch_class("detection", section) in chosen.branch_class or chosen.branch_class == "UnifiedBertEncoder"
    check(section, row("detection", branch_class("detection", section)), SECTION["detection"])


@pytest.mark.parametrize("text", ["vit_small@224", "vit_tiny@368 vit_small@192; merge=separate-heads"])
def test_augreg_classifiers_have_no_layer_scale_to_load(text: str) -> None:
    check_design("classification", Design.parse(text), pretrain={"vit_small": "augreg"})


def test_a_file_with_more_than_a_linear_merge_has_room_for_is_stripped_by_the_command_given(tmp_path: Path) -> None:
    design = Design.parse("vit_tiny@368 vit_small@192; merge=linear")
    ((_, text),) = exporter("official-classification", pretrain={"vit_small": "augreg"}).export(design).items()
    assert isinstance(text, str)
    (command,) = [line.strip().removeprefix("#").strip() for line in text.splitlines() if "python -c" in line]
    names = ("cls_token", "pos_embed", "blocks.0.norm1.weight", "norm.weight", "head.weight", "head.bias")
    path = tmp_path / "pretrained" / "vit_small_patch16_224_augreg_in21k_ft_in1k.pth"
    path.parent.mkdir()
    torch.save({"model": {name: torch.zeros(1) for name in names}}, path)
    subprocess.run(command.replace("python", sys.executable, 1), shell=True, cwd=tmp_path, check=True)
    assert set(torch.load(path, weights_only=True)["model"]) == {"pos_embed", "blocks.0.norm1.weight"}


def test_positions_are_resized_to_the_size_of_a_segmenter() -> None:
    """Where no patch makes the file's grid of a size, the next size that has one is named."""
    made = exporter("official-segmentation")
    small = Design.parse("vit_tiny@96 vit_small@64")
    assert str(made.nearest(small)) == "vit_tiny@112 vit_small@112"
    with pytest.raises(InputError, match=r"it cannot resize pre-trained positions to 'vit_tiny@96'"):
        made.export(small)
    large = Design.parse("vit_tiny@640 vit_small@400")
    made.check(large)
    with pytest.raises(InputError, match="positions to 'vit_small@400'"):
        exporter("official-segmentation", pretrain={"vit_small": "deit3-384"}).export(large)


def test_llava_arguments() -> None:
    for text in ("clip_base@512 clip_large@256; merge=none", "convnext_base@1024 clip_large@336; merge=none"):
        arguments = plain(exporter("official-llava").arguments(Design.parse(text)))
        table = TABLE["llava"]["PIIPTwoBranchConfig"]
        for name in ("branch1", "branch2"):
            section = arguments.pop(name)
            assert {key: type(value) for key, value in section.items()} == LLAVA[section["model_type"]]
        check({k: v for k, v in arguments.items() if k not in LLAVA_TOP}, table, {})
        assert {key: type(arguments[key]) for key in LLAVA_TOP} == LLAVA_TOP


def test_pretraining_that_does_not_exist_is_refused() -> None:
    design = Design.parse("vit_tiny@640 vit_small@512")
    for families, words in (
        ({"vit_tiny": "mae"}, "no 'mae' weights for 'vit_tiny': expected one of deit, augreg"),
        ({"vit_large": "mae"}, "this design has only vit_tiny, vit_small"),
    ):
        with pytest.raises(InputError, match=words):
            exporter("official-detection", pretrain=families).export(design)
    design = Design.parse("vit_tiny@640 vit_base@512")
    for target in ("official-segmentation", "official-detection"):
        with pytest.raises(InputError, match=r"no branch class for 'uni-perceiver' .* among 2 branches"):
            exporter(target, pretrain={"vit_base": "uni-perceiver"}).export(design)
    four = Design.parse("vit_tiny@1344 vit_small@896 vit_base@672 vit_large@448")
    with pytest.raises(InputError, match=r"no branch class for 'mae' .* among 4 branches"):
        exporter("official-detection", pretrain={"vit_base": "mae"}).export(four)

"""Design -> authors' config -> design, and authors' config -> design -> config."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from piip_explore import Design, catalog
from piip_explore.errors import InputError
from piip_explore.export import exporter
from piip_explore.export.pyconfig import plain
from piip_explore.official.evaluate import evaluate
from piip_explore.official.import_design import import_backbone, import_config
from piip_explore.space import SearchSpace
from tests.export.samples import ALL

OFFICIAL = ("official-detection", "official-segmentation", "official-classification", "official-llava")
SPACES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.yaml"))


@cache
def space(path: Path) -> SearchSpace:
    return SearchSpace.load(path)


@st.composite
def designs(draw: st.DrawFn, path: Path) -> Design:
    return space(path).design(draw(st.integers(0, space(path).size - 1)))


def check_round_trip(target: str, design: Design, folder: Path) -> None:
    """Export (the nearest of) a design, import the file, and export what was imported again."""
    made = exporter(target)
    nearest = made.nearest(design)
    if made.misfits(design):
        with pytest.raises(InputError, match="cannot express"):
            made.export(design)
    ((name, text),) = made.export(nearest).items()
    path = folder / name
    path.write_text(text)
    imported = import_config(path)
    assert imported.design == nearest.sorted()
    assert f"official-{imported.code_base}" == target
    backbone = dict(evaluate(text, name)["model"]["backbone"])
    backbone.pop("_delete_", None)
    assert plain(made.arguments(imported.design)) == backbone
    assert plain(exporter(target, keep=imported.backbone).arguments(imported.design)) == backbone


def test_all_spaces_are_here() -> None:
    assert len(SPACES) >= 8


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
@settings(max_examples=70, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data(), target=st.sampled_from(OFFICIAL))
def test_every_design_of_a_space_comes_back(path: Path, data: st.DataObject, target: str, tmp_path_factory) -> None:
    check_round_trip(target, data.draw(designs(path)), tmp_path_factory.getbasetemp())


MODELS = [
    *catalog.MODELS,
    "vit[depth=12,dim=160,heads=2]",
    "vit[depth=6,dim=144,heads=4]",
    "vit[depth=24,dim=512,heads=8]",
]


@st.composite
def any_designs(draw: st.DrawFn) -> Design:
    """Draw designs of any structure that there can be, most of which some target cannot express."""
    branches = []
    for _ in range(draw(st.integers(1, 5))):
        model = draw(st.sampled_from(MODELS))
        size = draw(st.integers(4, 60)) * 32
        window = "" if "convnext" in model else draw(st.sampled_from(["", ":w7", ":w14", ":w14g3"]))
        branches.append(f"{model}@{size}{window}")
    options = []
    if len(branches) > 1:
        count = draw(st.sampled_from([0, 1, 2, 4, 6]))
        options.append(f"interactions={count}")
        if count:
            options.append(f"heads={draw(st.sampled_from([2, 4, 8]))}")
            options.append(f"attention={draw(st.sampled_from(['deformable', 'regular']))}")
            options.append(f"direction={draw(st.sampled_from(['both', 'up', 'down', 'all']))}")
            options.append(f"project={draw(st.sampled_from(['yes', 'no']))}")
        merges = ["conv", "linear", "none", "conv-multilevel", "separate-heads"]
        options.append(f"merge={draw(st.sampled_from(merges))}")
    try:
        return Design.parse("; ".join([" ".join(branches), *options]))
    except InputError:
        reject()


@pytest.mark.parametrize("target", OFFICIAL)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(design=any_designs())
def test_any_design_or_the_nearest_to_it_comes_back(target: str, design: Design, tmp_path_factory) -> None:
    check_round_trip(target, design, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("target", OFFICIAL)
@pytest.mark.parametrize("design", ALL, ids=str)
def test_sample_designs_come_back(target: str, design: Design, tmp_path: Path) -> None:
    check_round_trip(target, design, tmp_path)


@pytest.mark.parametrize("head", ["mask-rcnn", "cascade-rcnn", "dino"])
def test_options_leave_the_design_alone(head: str, tmp_path: Path) -> None:
    design = Design.parse("vit_small@1792:w24g3 vit_base@1120:w24g3 vit_large@672:w24g3")
    families = {"vit_base": "deit3-384", "vit_large": "dinov2"}
    made = exporter("official-detection", head=head, pretrain=families)
    ((name, text),) = made.export(design).items()
    (tmp_path / name).write_text(text)
    imported = import_config(tmp_path / name)
    assert imported.design == design
    assert bool(imported.notes) == (head == "dino")
    assert "deit_3_base_384" in imported.backbone["branch2"]["pretrained"]
    assert imported.backbone.get("is_dino", False) == (head == "dino")


def test_training_arguments_of_an_imported_config_are_kept() -> None:
    design = Design.parse("vit_tiny@640 vit_small@512 vit_base@448")
    backbone = plain(exporter("official-detection").arguments(design))
    backbone["interaction_drop_path_rate"] = 0.123
    backbone["branch2"] |= {"drop_path_rate": 0.07, "with_cp": True, "pretrained": "my/deit.pth"}
    del backbone["branch3"]["use_flash_attn"]
    imported = import_backbone(backbone)
    assert imported.design == design
    assert exporter("official-detection", keep=imported.backbone).arguments(design) == backbone


def test_arguments_of_another_design_are_not_kept() -> None:
    kept = exporter("official-detection").arguments(Design.parse("vit_tiny@640 vit_small@512"))
    with pytest.raises(InputError, match="not of"):
        exporter("official-detection", keep=plain(kept)).export(Design.parse("vit_tiny@640 vit_small@448"))

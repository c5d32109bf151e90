"""What the authors' classes cannot build, and the smallest change that mends it."""

from __future__ import annotations

import pytest

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter

FREE = "vit[depth=12,dim={},heads=4]"


@pytest.mark.parametrize(
    ("target", "text", "reason", "nearest"),
    [
        (
            "detection",
            "convnext_tiny@640 vit_base@320",
            "with 2 branches it has vit_tiny",
            "vit_small@640 vit_base@320",
        ),
        (
            "detection",
            "vit_tiny@1344 vit_small@896 vit_base@672 intern_vit_6b@448",
            "with 4 branches it has vit_tiny",
            "vit_tiny@1344 vit_small@896 vit_base@672 vit_large@448",
        ),
        (
            "detection",
            "convnext_tiny@1024 vit_small@672 vit_base@448",
            "as the largest branch only with merge=conv-multilevel",
            "convnext_tiny@1024 vit_small@672 vit_base@448; merge=conv-multilevel",
        ),
        (
            "detection",
            "convnext_tiny@1024 vit_small@672 vit_base@448; interactions=3",
            "needs interactions=4 or more",
            "vit_small@1024 vit_small@672 vit_base@448; interactions=3",
        ),
        (
            "detection",
            "vit_base@640:w14 vit_small@320",
            "wider the lower",
            "vit_small@640:w14 vit_base@320",
        ),
        ("detection", "vit_base@640 vit_small@480 vit_base@320", None, None),
        (
            "segmentation",
            "vit_base@640 vit_small@480 vit_base@320",
            "wider the lower",
            "vit_small@640 vit_base@480 vit_base@320",
        ),
        (
            "detection",
            f"{FREE.format(160)}@640 {FREE.format(336)}@320; heads=4",
            "32 groups",
            f"{FREE.format(160)}@640 {FREE.format(352)}@320; heads=4",
        ),
        (
            "classification",
            f"{FREE.format(144)}@640 {FREE.format(320)}@320; heads=8; merge=linear",
            "32 groups",
            f"{FREE.format(160)}@640 {FREE.format(320)}@320; heads=8; merge=linear",
        ),
        ("classification", f"{FREE.format(144)}@640 {FREE.format(320)}@320; heads=8; merge=separate-heads", None, None),
        (
            "classification",
            "vit_tiny@384:w14 vit_base@128; merge=separate-heads",
            "no window attention",
            "vit_tiny@384 vit_base@128; merge=separate-heads",
        ),
        ("classification", "vit_tiny@384:w14 vit_base@128; merge=linear", None, None),
        (
            "detection",
            "vit_tiny@1344 vit_small@896 vit_base@672; weighting=channel",
            "its merge has no weighting=channel",
            "vit_tiny@1344 vit_small@896 vit_base@672",
        ),
        (
            "segmentation",
            "vit_tiny@640 vit_base@320; weighting=channel",
            "its merge has no weighting=channel",
            "vit_tiny@640 vit_base@320",
        ),
        (
            "classification",
            "vit_tiny@384 vit_base@128; merge=separate-heads; weighting=scalar",
            "its merge has no weighting=scalar",
            "vit_tiny@384 vit_base@128; merge=separate-heads",
        ),
    ],
)
def test_misfits_are_named_and_mended(target: str, text: str, reason: str | None, nearest: str | None) -> None:
    made, design = exporter(f"official-{target}"), Design.parse(text)
    if reason is None or nearest is None:
        made.check(design)
        return
    with pytest.raises(InputError, match="cannot express") as refusal:
        made.export(design)
    assert reason in str(refusal.value)
    assert str(made.nearest(design)) == nearest


@pytest.mark.parametrize("target", ["detection", "segmentation", "classification", "llava"])
@pytest.mark.parametrize(
    "model",
    ["dinov2_reg_base", "dinov3_base", "siglip2_base", "pe_core_base", "intern_vit_6b[depth=12,dim=64,heads=2]"],
)
def test_branch_models_that_the_authors_lack_are_for_the_native_target(target: str, model: str) -> None:
    design = Design.parse(f"vit_small@448 {model}@224; merge={'none' if target == 'llava' else 'conv'}; heads=8")
    with pytest.raises(InputError, match=r"it has no class for .*which --target native takes") as refusal:
        exporter(f"official-{target}").check(design)
    assert f"{design.branches[1]}" in str(refusal.value)
    exporter("native").check(design)


def test_dino_reads_the_final_map_alone() -> None:
    design = Design.parse("convnext_tiny@1024 convnext_small@672 convnext_base@448; merge=conv-multilevel")
    with pytest.raises(InputError, match="head 'dino' reads only the final map"):
        exporter("official-detection", head="dino").export(design)
    with pytest.raises(InputError, match="head 'dino' reads a backbone of several branches"):
        exporter("official-detection", head="dino").export(Design.parse("vit_base@1024"))

"""The files of search_spaces/: they load, and each holds the published designs of its family."""

from __future__ import annotations

from pathlib import Path

import pytest

from piip_explore import published
from piip_explore.cost import count
from piip_explore.design import Design
from piip_explore.space import SearchSpace

FOLDER = Path(__file__).parents[2] / "search_spaces"
FAMILIES = {
    "coco_tsb": ["tsb-1120-896-448", "tsb-1568-896-448", "tsb-1568-1120-672"],
    "coco_sbl": [
        "sbl-1120-672-448",
        "sbl-1344-896-448",
        "sbl-1568-896-672",
        "sbl-1568-1120-672-augreg",
        "sbl-1568-1120-672-uni-perceiver",
        "sbl-1568-1120-672-mae",
        "sbl-1568-1120-672-deit3",
        "sbl-1568-1120-672-dinov2",
        "sbl-1568-1120-672-beitv2",
        "fast-sbl-1568-1120-672",
        "dino-sbl-1792-1120-672",
    ],
    "coco_tsbl": ["tsbl-1344-896-672-448", "tsbl-1568-1120-672-448", "tsbl-1792-1568-1120-448"],
    "coco_h6b": [
        "internvit-6b-1024",
        "internvit-6b-1024-w14",
        "internvit-6b-512-w14",
        "seg-internvit-6b-512",
        "h6b-1024-512",
        "fast-h6b-1024-512-no-project",
        "dino-h6b-1024-768",
        "lh6b-1280-1024-256",
        "lh6b-1280-1024-512",
        "lh6b-1280-1024-640",
        "lh6b-seg-640-512-192",
        "lh6b-seg-640-512-256",
        "lh6b-seg-640-512-384",
        "seg-h6b-512-192",
        "seg-h6b-512-256",
        "seg-h6b-512-384",
    ],
    "coco_hetero": [
        "hetero-vvv",
        "hetero-ccc",
        "hetero-cvv",
        "hetero-ccv",
        "hetero-cvc",
        "hetero-vcv",
        "hetero-vcc",
        "hetero-vvc",
    ],
    "ade20k_tsb_sbl": ["seg-vit-b-640", "seg-vit-l-640", "seg-tsb-896-448-336", "seg-sbl-1120-448-336"],
    "imagenet_tsb_sbl": [
        "cls-deit-b-224",
        "cls-vit-l-224",
        "cls-tsb-368-192-128",
        "cls-sbl-320-160-96",
        "cls-sbl-384-192-128",
    ],
    "imagenet_scratch": ["cls-piip-b-scratch"],
}
NO_FAMILY = {
    # baselines of tables whose space holds pyramids only
    "vit-b-1024",
    "vit-l-1024",
    "convnext-b-1024",
    "cls-vit-b-scratch",
    # without projection, which the space of SBL does not offer
    "fast-sbl-1568-1120-672-no-project",
    # not parameter-inverted: both branches at one resolution
    "seg-h6b-512-512",
}


@pytest.fixture(scope="module")
def rows() -> dict[str, Design]:
    frame = published.load()
    return {row: Design.parse(text) for row, text in zip(frame["row"], frame["design"], strict=True)}


def test_every_published_design_has_a_family(rows):
    listed = [row for family in FAMILIES.values() for row in family]
    assert sorted([*listed, *NO_FAMILY]) == sorted(rows)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_holds_its_published_designs(family, rows):
    space = SearchSpace.load(FOLDER / f"{family}.yaml")
    for row in FAMILIES[family]:
        assert rows[row] in space, row
        assert space.design(space.index_of(rows[row])) == rows[row].sorted()
        limits = space.constraints
        if limits.max_gflops is not None:
            assert count(rows[row], accounting=limits.accounting).macs <= limits.max_gflops * 1e9, row


def test_llava_holds_its_published_designs():
    space = SearchSpace.load(FOLDER / "llava.yaml")
    designs = [Design.parse(text) for text in published.llava()["design"]]
    pyramids = [design for design in designs if len(design.branches) > 1]
    assert len(pyramids) == 5
    assert all(design in space for design in pyramids)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_is_named_after_its_space_and_can_be_listed(path):
    space = SearchSpace.load(path)
    assert space.name == path.stem
    assert space.description
    columns = space.columns()
    assert len(columns.setting) == space.size > 100
    for index in range(0, space.size, max(1, space.size // 50)):
        design = space.design(index)
        assert space.index_of(design) == index


def test_the_demo_is_small_inverted_and_says_its_proxy():
    space = SearchSpace.load(FOLDER / "demo.yaml")
    assert 100 <= space.size <= 300
    assert space.proxy == {"preset": "demo"}
    for design in space.designs(range(space.size)):
        assert len(design.branches) in (2, 3)
        assert design.merge.kind == "conv"
        weights = [branch.spec.weights for branch in design.branches]
        resolutions = [branch.resolution for branch in design.branches]
        assert weights == sorted(set(weights))
        assert resolutions == sorted(set(resolutions), reverse=True)
        assert all(resolution % 112 == 0 for resolution in resolutions)


def test_the_example_of_the_documentation_is_a_space():
    text = (FOLDER.parent / "docs" / "spaces.md").read_text(encoding="utf-8")
    example = text.split("```yaml\n")[1].split("```")[0]
    space = SearchSpace.parse(example, "docs/spaces.md")
    assert Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448; merge=linear") in space
    assert Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear") not in space

"""What notebooks show, and the page about them."""

from __future__ import annotations

import shutil
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from piip_explore import Design, SearchSpace, cost

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "piip_explore/dashboard/example/demo.journal"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(
    ("text", "boxes", "arrows"),
    [
        ("vit_base@448", 1, 0),
        ("vit_tiny@448 vit_base@224; interactions=0", 3, 0),
        ("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear", 4, 12 * 4),
        ("vit_base@448 vit_tiny@896; interactions=6; direction=up; out=1", 3, 6),
        ("convnext_tiny@896 vit_small@672 vit_base@448; interactions=3; direction=all", 4, 3 * 6),
    ],
)
def test_a_design_is_drawn(text, boxes, arrows):
    design = Design.parse(text)
    drawn = ET.fromstring(design._repr_svg_())
    assert drawn.findtext(f"{SVG}title") == str(design)
    assert len(drawn.findall(f".//{SVG}rect")) == boxes
    assert len(drawn.findall(f".//{SVG}polygon")) == arrows
    labels = [label.text for label in drawn.iter(f"{SVG}text")]
    assert labels == [*map(str, design.branches), *([design.merge.kind] if len(design.branches) > 1 else [])]


def test_the_picture_in_the_documents_is_the_drawing():
    """In a grey that light and dark pages show, as a picture takes no colour from its page."""
    drawn = Design.parse("vit_tiny@1120:w14 vit_small@896:w14 vit_base@448:w14; merge=linear")._repr_svg_()
    picture = (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8")
    assert picture == drawn.replace("<svg ", '<svg color="#808080" ', 1) + "\n"


def test_lanes_run_from_the_highest_resolution_down_and_arrows_follow_the_direction():
    drawn = ET.fromstring(Design.parse("vit_base@448 vit_tiny@896; interactions=1; direction=up")._repr_svg_())
    low, high, _ = drawn.findall(f".//{SVG}rect")
    assert float(high.attrib["y"]) < float(low.attrib["y"])
    assert float(high.attrib["height"]) == 2 * float(low.attrib["height"])
    (arrow,) = drawn.findall(f".//{SVG}polygon")
    tip = arrow.attrib["points"].split()[1]
    assert float(tip.split(",")[1]) == float(high.attrib["y"]) + float(high.attrib["height"])


def test_costs_and_spaces_are_tables():
    counted = cost.count(Design.parse("vit_tiny@448 vit_base@224"))
    assert (counted.gflops, counted.mparams) == (counted.macs / 1e9, counted.params / 1e6)
    table = counted._repr_html_()
    assert all(name in table for name in ("vit_tiny@448", "merge", "total", f"{counted.gflops:,.3f}"))
    space = SearchSpace.parse("name: <s>\npool: {models: vit_tiny, branches: 1, resolutions: [224, 448]}", "s")
    table = space._repr_html_()
    assert "&lt;s&gt;: 2 designs" in table
    assert "224, 448" in table


def test_the_page_runs(capsys, tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    shutil.copy(EXAMPLE, tmp_path / "studies/demo.journal")
    monkeypatch.chdir(tmp_path)
    blocks = (ROOT / "docs" / "notebook.md").read_text(encoding="utf-8").split("```python\n")[1:]
    scope: dict[str, object] = {}
    for block in blocks:
        exec(block.split("```")[0], scope)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "243 GFLOPs, 146 M parameters"  # arXiv 2501.07783, Table I
    assert printed[2] == "9,152 designs; the first is " + str(SearchSpace.load("coco_tsb").design(0))

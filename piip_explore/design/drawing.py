"""A design's architecture as SVG: branches as lanes, interactions as arrows between them, the merge at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from piip_explore import catalog

if TYPE_CHECKING:
    from piip_explore.design.design import Design

_LEFT, _RIGHT, _WIDTH = 230, 770, 920
_LANE, _THICKEST = 64, 40
"""Height of a lane in pixels, and of the bar of the largest resolution."""


def svg(design: Design) -> str:
    """Draw a design.

    A branch's height shows its resolution, its length its blocks. An arrow starts and ends after the blocks that its
    interaction follows and points where features flow.
    """
    height = _LANE * len(design.branches) + 8
    attributes = {"viewBox": f"0 0 {_WIDTH} {height}", "width": str(_WIDTH), "height": str(height), "role": "img"}
    root = ET.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", **attributes})
    ET.SubElement(root, "title").text = str(design)
    style = {"font-family": "sans-serif", "font-size": "13", "fill": "currentColor", "stroke": "currentColor"}
    canvas = ET.SubElement(root, "g", style)
    middles = {index: 4 + _LANE * (place + 0.5) for place, index in enumerate(design.order)}
    halves = [_THICKEST * branch.resolution / design.resolution / 2 for branch in design.branches]
    for index, branch in enumerate(design.branches):
        _rectangle(canvas, _LEFT, middles[index] - halves[index], _RIGHT - _LEFT, 2 * halves[index])
        _write(canvas, _LEFT - 10, middles[index] + 4, str(branch), "end")
    if design.interaction is not None:
        places = [_ends(branch.spec, design.interaction.count) for branch in design.branches]
        for source, target in design.directed_pairs:
            down = 1 if middles[source] < middles[target] else -1
            start, end = middles[source] + down * halves[source], middles[target] - down * halves[target]
            for x, to_x in zip(places[source], places[target], strict=True):
                _arrow(canvas, x + 2 * down, start, to_x + 2 * down, end, down)
    if len(design.branches) > 1:
        feeding = [middles[index] for index in design.out]
        for middle in feeding:
            _line(canvas, _RIGHT, middle, _RIGHT + 20, middle)
        _rectangle(canvas, _RIGHT + 20, min(feeding) - 16, 10, max(feeding) - min(feeding) + 32)
        _write(canvas, _RIGHT + 40, sum(feeding) / len(feeding) + 4, design.merge.kind, "start")
    return ET.tostring(root, encoding="unicode")


def _ends(spec: catalog.Model, count: int) -> list[float]:
    """Return where on the x axis the groups of a branch's blocks end, with room for arrows after the last."""
    return [_LEFT + (block + 1) / spec.blocks * (_RIGHT - _LEFT - 10) for block in catalog.positions(spec, count)]


def _rectangle(canvas: ET.Element, x: float, y: float, width: float, height: float) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "width": f"{width:g}", "height": f"{height:g}"}
    ET.SubElement(canvas, "rect", {**place, "rx": "3", "fill-opacity": "0.12"})


def _line(canvas: ET.Element, x: float, y: float, to_x: float, to_y: float) -> None:
    ET.SubElement(canvas, "line", {"x1": f"{x:g}", "y1": f"{y:g}", "x2": f"{to_x:g}", "y2": f"{to_y:g}"})


def _arrow(canvas: ET.Element, x: float, y: float, to_x: float, to_y: float, down: int) -> None:
    _line(canvas, x, y, to_x, to_y)
    back = to_y - 6 * down
    points = f"{to_x - 3:g},{back:g} {to_x:g},{to_y:g} {to_x + 3:g},{back:g}"
    ET.SubElement(canvas, "polygon", {"points": points, "class": "arrow"})


def _write(canvas: ET.Element, x: float, y: float, words: str, anchor: str) -> None:
    place = {"x": f"{x:g}", "y": f"{y:g}", "text-anchor": anchor, "stroke": "none"}
    ET.SubElement(canvas, "text", place).text = words

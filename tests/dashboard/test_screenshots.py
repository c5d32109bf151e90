"""Pictures of every page, light, dark and on a phone, for the documentation: taken on request, to be looked at.

PIIP_EXPLORE_SCREENSHOTS=docs/images python -m pytest tests/dashboard/test_screenshots.py
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from piip_explore.dashboard import studies
from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import front_rows
from tests.dashboard.conftest import PATIENCE, PHONE, ROOT, View, served

WIDTH = 1400

FOLDER = os.environ.get("PIIP_EXPLORE_SCREENSHOTS")

pytestmark = pytest.mark.skipif(not FOLDER, reason="pictures are taken where PIIP_EXPLORE_SCREENSHOTS names a folder")


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The dashboard over the study that comes with the program."""
    empty = tmp_path_factory.mktemp("none")
    with served(
        "--storage", str(empty), "--spaces", str(ROOT / "search_spaces"), "--results", str(ROOT / "benchmarks/results")
    ) as url:
        yield url


def front() -> list[int]:
    source = studies.find(Options((str(studies.EXAMPLE),)))[0][0]
    trials = studies.open_live(source).trials()[1]
    axes = (ChartAxis("x"), ChartAxis("y", maximize=True))
    return front_rows(trials.floats("gflops_published"), trials.score, axes, trials.scored).tolist()


def _address(page: str) -> str:
    """Return the address of a page with something on it."""
    members = front()
    middle = members[len(members) // 2]
    paths = {
        "explore": f"?pick={middle}&budget=60",
        "design": f"design?pick={middle}",
        "compare": f"compare?pick={members[0]}&pick={middle}&pick={members[-1]}&slices=true",
        "space": "space?space=demo&space_budget=50",
        "study": "study?importance=true",
    }
    return paths.get(page, page)


@pytest.fixture(scope="module")
def view(browser: Any, example: str) -> Iterator[View]:
    """One window for all pictures, which keeps what it has loaded."""
    context = browser.new_context(viewport={"width": WIDTH, "height": 1000}, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE)
    yield View(context.new_page(), example)
    context.close()


@pytest.mark.parametrize("page", ["explore", "design", "compare", "space", "study", "validity", "published"])
def test_picture(view: View, page: str) -> None:
    assert FOLDER is not None
    view.page.set_viewport_size({"width": WIDTH, "height": 1000})
    view.open(_address(page))
    view.page.add_style_tag(content="[data-testid=stStatusWidget] { visibility: hidden; }")
    for scheme in ("light", "dark"):
        view.page.emulate_media(color_scheme=scheme)
        view.steady()
        height = view.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        view.page.set_viewport_size({"width": WIDTH, "height": min(height, 2400)})
        view.steady()
        assert not view.page.query_selector_all("[data-testid=stException]")
        _save(view.page.screenshot(), Path(FOLDER) / f"{page}-{scheme}.png")


@pytest.mark.parametrize("page", ["explore", "design", "compare", "space", "study", "validity", "published"])
def test_picture_on_a_phone(browser: Any, example: str, page: str) -> None:
    assert FOLDER is not None
    context = browser.new_context(**PHONE, device_scale_factor=1, reduced_motion="reduce")
    context.set_default_timeout(1000 * PATIENCE)
    view = View(context.new_page(), example)
    view.open(_address(page)).steady()
    view.page.add_style_tag(content="[data-testid=stStatusWidget] { visibility: hidden; }")
    assert not view.page.query_selector_all("[data-testid=stException]")
    _save(view.page.screenshot(), Path(FOLDER) / f"{page}-phone.png")
    context.close()


def _save(picture: bytes, path: Path) -> None:
    """Write a picture in 256 colours, a third of the file: an octree keeps those of small marks, and greys grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = (
        Image.open(io.BytesIO(picture))
        .convert("RGB")
        .quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    )
    few.save(path, optimize=True)

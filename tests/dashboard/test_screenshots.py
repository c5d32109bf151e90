"""Pictures of every page, light and dark, for the documentation: taken on request, to be looked at.

PIIP_EXPLORE_SCREENSHOTS=docs/images python -m pytest tests/dashboard/test_screenshots.py
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from piip_explore.dashboard import studies
from piip_explore.dashboard.figures.front import Axis
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import front_rows
from tests.dashboard.conftest import ROOT, View, served

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
    axes = (Axis("x"), Axis("y", maximize=True))
    return front_rows(trials.floats("gflops_published"), trials.score, axes, trials.scored).tolist()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("page", ["front", "design", "compare", "space", "study", "validity", "published"])
def test_picture(window: Callable[..., View], example: str, page: str, scheme: str) -> None:
    assert FOLDER is not None
    members = front()
    middle = members[len(members) // 2]
    paths = {
        "front": f"?pick={middle}&budget=60",
        "design": f"design?pick={middle}",
        "compare": f"compare?pick={members[0]}&pick={middle}&pick={members[-1]}",
        "space": "space?space=demo&space_budget=50",
        "study": "study?importance=true",
    }
    view = window(example, color_scheme=scheme).open(paths.get(page, page))
    view.steady()
    height = view.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    view.page.set_viewport_size({"width": 1400, "height": min(height, 2400)})
    view.steady()
    assert not view.page.query_selector_all("[data-testid=stException]")
    folder = Path(FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    view.page.screenshot(path=folder / f"{page}-{scheme}.png")

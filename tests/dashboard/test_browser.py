"""What a person does, in a real browser."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

from piip_explore.dashboard import studies as sources
from piip_explore.dashboard.figures.front import Axis
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import Trials, front_rows
from tests.dashboard.conftest import View, served

Window = Callable[..., View]


@pytest.fixture(scope="module")
def demo(studies: Path) -> Trials:
    found, problems = sources.find(Options((str(studies),)))
    assert not problems
    return sources.open_live(found[0]).trials()[1]


@pytest.fixture(scope="module")
def front(demo: Trials) -> list[int]:
    axes = (Axis("x"), Axis("y", maximize=True))
    return front_rows(demo.floats("gflops_published"), demo.score, axes, demo.scored).tolist()


def address_of(view: View) -> dict[str, list[str]]:
    return parse_qs(urlparse(view.page.url).query)


def test_click_on_the_front_opens_the_design_and_its_export(
    window: Window, address: str, demo: Trials, front: list[int]
) -> None:
    view = window(address).open()
    trial = front[0]
    view.click(trial)
    assert demo.designs[trial] in view.text
    view.link("Open the design", "design")
    view.page.get_by_text("Where the cost goes").wait_for()
    assert str(demo.designs[trial]) in view.text
    view.page.get_by_role("radio", name="native").click()
    button = view.page.get_by_role("button", name="native-")
    with view.page.expect_download() as download:
        button.click()
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    shown = view.page.inner_text("[data-testid=stMain]")
    assert all(name in shown for name in archive.namelist())
    assert any(str(demo.designs[trial]).encode() in archive.read(name) for name in archive.namelist())


def test_a_click_does_not_redraw_the_chart(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    view.point(front[0])
    view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.same = 'yes'")
    view.click(front[0])
    view.page.get_by_text(f"Trial {front[0]}", exact=True).wait_for()
    assert view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.same") == "yes"


def test_next_and_previous_walk_the_front_from_the_keyboard(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    button = view.page.get_by_role("button", name="Next")
    button.focus()
    for trial in front[:3]:
        view.page.keyboard.press("Enter")
        view.page.get_by_text(f"Trial {trial}", exact=True).wait_for()
    assert address_of(view)["pick"] == [str(front[2])]


def test_a_box_selects_designs_to_compare(window: Window, address: str, demo: Trials, front: list[int]) -> None:
    view = window(address).open()
    (x0, y0), (x1, y1) = view.point(front[0]), view.point(front[1])
    view.hover(front[0])
    view.page.locator(".st-key-front_chart [data-title='Box Select']").click()
    view.page.mouse.move(x0 - 12, max(y0, y1) + 12)
    view.page.mouse.down()
    view.page.mouse.move(x1 + 6, min(y0, y1) - 6, steps=5)
    view.page.mouse.up()
    view.page.wait_for_url("**pick=*")
    view.settle()
    picked = [int(number) for number in address_of(view)["pick"]]
    assert set(front[:2]) <= set(picked)
    view.link("Compare the selected", "compare")
    view.page.get_by_text("Marked rows differ").wait_for()
    for trial in front[:2]:
        assert f"trial {trial}" in view.text


def test_filter_and_budget_narrow_the_front(window: Window, address: str, demo: Trials) -> None:
    view = window(address).open("?branches=2&budget=60")
    mask = demo.scored & np.array([design.count("@") == 2 for design in demo.designs])
    view.page.get_by_role("figure", name=f"of {mask.sum()} trials").wait_for()
    within = mask & (demo.floats("gflops_published") <= 60)
    best = int(np.flatnonzero(within)[np.argmax(demo.score[within])])
    view.page.get_by_role("button", name=f"Select trial {best}").first.click()
    view.page.wait_for_url(f"**pick={best}*")
    assert address_of(view) == {"branches": ["2"], "budget": ["60"], "pick": [str(best)]} | (
        {"study": ["demo"]} if "study" in address_of(view) else {}
    )


def test_a_shared_address_reopens_the_same_view(window: Window, address: str, front: list[int]) -> None:
    first = window(address).open("?study=other&y=parameters&log=false&accounting=built&pick=3")
    second = window(address).open(first.page.url.removeprefix(address + "/"))
    for view in (first, second):
        view.page.get_by_text("Trial 3", exact=True).wait_for()
        assert "GFLOPs (built)" in view.text
        view.page.get_by_role("figure", name="parameters (M) against GFLOPs (built)").wait_for()
    assert first.page.url == second.page.url


def test_the_accounting_and_the_study_travel_between_pages(window: Window, address: str) -> None:
    view = window(address).open("?study=other&accounting=built&pick=3")
    view.link("Design", "design")
    view.page.get_by_text("GFLOPs (built)").first.wait_for()
    assert address_of(view) == {"study": ["other"], "accounting": ["built"], "pick": ["3"]}


def test_two_studies_are_drawn_over_each_other(window: Window, address: str) -> None:
    view = window(address).open("compare?with=other")
    view.page.get_by_role("figure", name="Pareto fronts of 2 studies").wait_for()
    view.page.get_by_text("of the hypervolume of both fronts together").wait_for()


def test_without_a_study_the_example_and_the_next_steps_are_shown(window: Window, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    with served("--storage", str(empty)) as address:
        view = window(address).open()
        view.page.get_by_text("piip-explore search search_spaces/demo.yaml").wait_for()
        view.page.get_by_role("figure", name="Pareto front").wait_for()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not a journal\n", "no Optuna journal"),
        (b'{"op_code":0,"study_name":"broken","directions":[2,1]}\n{"op_code":\n{}\n', "line"),
        (b'{"op_code":0,"worker_id":"w","study_name":"broken","directions":[2,1]}\n', "not made by"),
    ],
)
def test_a_broken_study_is_a_sentence(window: Window, tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "broken.journal"
    file.write_bytes(content)
    with served("--storage", str(file)) as address:
        view = window(address).open()
        view.page.get_by_role("alert").first.wait_for()
        shown = view.page.inner_text("[data-testid=stApp]")
    assert sentence in shown
    assert "Traceback" not in shown
    assert file.read_bytes() == content

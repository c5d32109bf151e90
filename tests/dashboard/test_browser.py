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
from piip_explore.dashboard.options import Options
from piip_explore.dashboard.trials import Trials
from tests.dashboard.conftest import View, served

Window = Callable[..., View]


@pytest.fixture(scope="module")
def demo(studies: Path) -> Trials:
    found, problems = sources.find(Options((str(studies),)))
    assert not problems
    return sources.open_live(found[0]).trials()[1]


def test_click_on_the_front_opens_the_design_and_its_export(
    window: Window, address: str, demo: Trials, front: list[int]
) -> None:
    view = window(address).open()
    trial = front[0]
    view.click(trial)
    view.says(demo.designs[trial])
    view.link("Open the design", "design")
    view.page.get_by_text("Where the cost goes").wait_for()
    view.says(demo.designs[trial])
    view.page.get_by_role("radio", name="native").click()
    button = view.page.get_by_role("button", name="native-")
    with view.page.expect_download() as download:
        button.click()
    archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
    view.says(*archive.namelist())
    assert any(str(demo.designs[trial]).encode() in archive.read(name) for name in archive.namelist())


def test_a_click_does_not_redraw_the_chart(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    view.point(front[0])
    view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.same = 'yes'")
    view.click(front[0])
    view.page.get_by_text(f"Trial {front[0]}", exact=True).wait_for()
    assert view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').dataset.same") == "yes"


def test_a_chart_is_drawn_once_with_round_numbers(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    view.point(front[0])
    chart = "document.querySelector('.st-key-front_chart .js-plotly-plot')"
    view.page.evaluate(f"window.again = 0; {chart}.on('plotly_relayout', () => window.again++)")
    for turn in (1, 2):
        view.page.get_by_text("logarithmic", exact=True).click()
        view.page.wait_for_function(f"turn => Number({chart}.dataset.drawn) > turn", arg=turn)
    shown = view.page.locator(".st-key-front_chart .xtick text").all_text_contents()
    assert shown == ["5", "10", "20", "50", "100", "200", "500", "1,000"]
    assert view.page.evaluate("window.again") == 0


def test_the_chart_offers_no_upload(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    view.hover(front[0])
    names = view.page.eval_on_selector_all(".modebar-btn", "buttons => buttons.map(button => button.dataset.title)")
    zoom = ["Zoom", "Pan", "Box Select", "Lasso Select", "Zoom in", "Zoom out", "Reset axes"]
    assert sorted(names) == sorted([*zoom, "Download as PNG", "Download as SVG"])


def test_a_chart_that_hears_no_selection_offers_none(window: Window, address: str) -> None:
    view = window(address).open("design?pick=3")
    chart = view.page.locator(".st-key-by_module .js-plotly-plot")
    chart.hover()
    names = chart.evaluate("plot => [...plot.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)")
    assert "Zoom" in names
    assert not {"Box Select", "Lasso Select"} & set(names)


def test_what_stands_in_a_row_is_level(window: Window, address: str) -> None:
    view = window(address).open("?pick=3")
    view.page.get_by_role("link", name="Open the design").wait_for()
    view.steady()
    rows = [
        [".st-key-study input", ".st-key-accounting div > button", ".st-key-find input", ".st-key-share button"],
        [".st-key-y input", ".st-key-x input", ".st-key-log label", "a:has-text('How far to trust')"],
        [".st-key-pin_it button", "a:has-text('Open the design')"],
    ]
    for row in rows:
        boxes = [view.page.locator(f"[data-testid=stMain] {part}").first.bounding_box() for part in row]
        middles = [box["y"] + box["height"] / 2 for box in boxes]
        assert middles == pytest.approx([middles[0]] * len(row), abs=1), row


def test_next_and_previous_walk_the_front_from_the_keyboard(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    button = view.page.get_by_role("button", name="Next", exact=True)
    button.focus()
    for trial in front[:3]:
        view.page.keyboard.press("Enter")
        view.page.get_by_text(f"Trial {trial}", exact=True).wait_for()
    view.named(study=["demo"], pick=[str(front[2])])


def test_a_box_selects_designs_to_compare(window: Window, address: str, demo: Trials, front: list[int]) -> None:
    view = window(address).open()
    view.hover(front[0])
    (x0, y0), (x1, y1) = view.point(front[0]), view.point(front[1])
    view.page.locator(".st-key-front_chart [data-title='Box Select']").click()
    view.page.mouse.move(x0 - 12, max(y0, y1) + 12)
    view.page.mouse.down()
    view.page.mouse.move(x1 + 6, min(y0, y1) - 6, steps=5)
    view.page.mouse.up()
    view.page.wait_for_url("**pick=*")
    view.settle()
    picked = [int(number) for number in parse_qs(urlparse(view.page.url).query)["pick"]]
    assert set(front[:2]) <= set(picked)
    view.link("Compare", "compare")
    view.page.get_by_text("Marked rows differ").wait_for()
    view.says(*(f"trial {trial}" for trial in front[:2]))


def test_filter_and_budget_narrow_the_front(window: Window, address: str, demo: Trials) -> None:
    view = window(address).open("?branches=2&budget=60")
    mask = demo.scored & np.array([design.count("@") == 2 for design in demo.designs])
    view.page.get_by_role("figure", name=f"of {mask.sum()} trials").wait_for()
    within = mask & (demo.floats("gflops_published") <= 60)
    best = int(np.flatnonzero(within)[np.argmax(demo.score[within])])
    view.page.get_by_role("button", name="Best", exact=True).click()
    view.named(branches=["2"], budget=["60"], pick=[str(best)], study=["demo"])


def test_a_shared_address_reopens_the_same_view(window: Window, address: str, front: list[int]) -> None:
    named = {"study": ["other"], "y": ["params"], "log": ["false"], "accounting": ["built"], "pick": ["3"]}
    first = window(address).open("?study=other&y=params&log=false&accounting=built&pick=3").named(**named)
    second = window(address).open(first.page.url.removeprefix(address + "/"))
    for view in (first, second):
        view.page.get_by_text("Trial 3", exact=True).wait_for()
        view.says("GFLOPs (built)")
        view.page.get_by_role("figure", name="parameters (M) against GFLOPs (built)").wait_for()
        view.named(**named)


def test_the_accounting_and_the_study_travel_between_pages(window: Window, address: str) -> None:
    view = window(address).open("?study=other&accounting=built&pick=3")
    view.link("Design", "design")
    view.page.get_by_text("GFLOPs (built)").first.wait_for()
    view.named(study=["other"], accounting=["built"], pick=["3"])


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
        view.open("design?pick=0")
        view.page.get_by_role("img", name="What trial 0 predicted of held-out images").wait_for()
        view.page.wait_for_function("document.querySelector('.piip-pictures img').naturalWidth > 0")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"not a journal\n", "not an Optuna journal"),
        (b'{"op_code":0,"study_name":"broken","directions":[2,1]}\n{"op_code":\n{}\n', "line"),
        (b'{"op_code":0,"worker_id":"w","study_name":"broken","directions":[2,1]}\n', "not made by"),
    ],
)
def test_a_broken_study_is_a_sentence(window: Window, tmp_path: Path, content: bytes, sentence: str) -> None:
    file = tmp_path / "broken.journal"
    file.write_bytes(content)
    with served("--storage", str(file)) as address:
        view = window(address).open()
        view.page.get_by_role("alert").filter(has_text=sentence).first.wait_for()
        assert "Traceback" not in view.settle().page.inner_text("[data-testid=stApp]")
    assert file.read_bytes() == content


def test_a_brush_on_parallel_coordinates_changes_text_table_and_address(window: Window, address: str) -> None:
    view = window(address).open("space?space=synthetic")
    lines = view.page.locator(".st-key-lines")
    lines.locator(".axis-brush").first.scroll_into_view_if_needed()
    view.steady()
    axis = lines.locator(".axis-brush").first.bounding_box()
    x = axis["x"] + axis["width"] / 2
    view.page.mouse.move(x, axis["y"] + 0.6 * axis["height"])
    view.page.mouse.down()
    view.page.mouse.move(x, axis["y"] + 1.0 * axis["height"], steps=6)
    view.page.mouse.up()
    view.page.wait_for_url("**space_ranges=branches*")
    view.page.get_by_text("designs shown are in the ranges on branches").wait_for()
    kept = "document.querySelector('.st-key-lines .js-plotly-plot').data[0].dimensions[0].constraintrange"
    again = window(address).open(view.page.url.removeprefix(address + "/"))
    again.page.locator(".st-key-lines .axis-brush").first.wait_for()
    again.page.wait_for_function(f"({kept} ?? []).length > 0")
    view.page.go_back()
    view.page.wait_for_function(f"!({kept} ?? []).length")

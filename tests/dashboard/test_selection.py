"""One selection: address, chart, panel and table show the same, whichever of them it was made in."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlparse

from tests.dashboard.conftest import View

Window = Callable[..., View]


def test_click_button_key_and_address_mark_the_same(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open(f"?pick={front[3]}").shows(front[3])
    view.click(front[1]).shows(front[1])
    view.next(front[2])
    view.page.keyboard.press("ArrowRight")
    view.shows(front[3])
    view.page.keyboard.press("Escape")
    view.shows()
    view.click(front[1]).shows(front[1])
    view.page.get_by_role("button", name="Clear the selection").click()
    view.shows()
    view.click(front[1]).shows(front[1])


def test_a_tick_keeps_what_is_selected_outside_the_table(window: Window, address: str, front: list[int]) -> None:
    outside = next(trial for trial in range(18) if trial not in front)
    view = window(address).open(f"?pick={outside}").shows(outside)
    view.expect(view.page.locator(".st-key-front_table")).to_have_count(0)  # below the screen
    view.page.locator(".piip-place").scroll_into_view_if_needed()
    ticked(view)
    tick(view, 0)
    view.shows(outside, front[0])
    ticked(view, 0)
    tick(view, 2)
    view.shows(outside, front[0], front[2])
    ticked(view, 0, 2)
    tick(view, 0)
    view.shows(outside, front[2])
    ticked(view, 2)
    view.next(front[0])
    ticked(view, 0)


def tick(view: View, row: int) -> None:
    table = view.page.locator(".st-key-front_table canvas").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    view.page.mouse.click(box["x"] + 14, box["y"] + 35 + 35 * row + 17)


def ticked(view: View, *rows: int) -> None:
    """Wait until these rows of the table are ticked, and no others: a table is drawn later than the chart's marks."""
    view.page.wait_for_function(_TICKED, arg=list(rows))


_TICKED = """wanted => {
  const rows = [...document.querySelectorAll('.st-key-front_table canvas tbody tr')];
  const found = rows.flatMap((row, place) => row.getAttribute('aria-selected') === 'true' ? [place] : []);
  return JSON.stringify(found) === JSON.stringify(wanted);
}"""


def test_a_step_along_the_front_draws_only_what_shows_the_selection(
    window: Window, address: str, front: list[int]
) -> None:
    view = window(address)
    received: list[bytes] = []
    view.page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: received.append(frame)))
    view.open(f"?pick={front[0]}").shows(front[0])
    assert any(b"Filters and limits" in frame for frame in received)
    received.clear()
    view.next(front[1])
    assert any(f"Trial {front[1]}".encode() in frame for frame in received)
    assert not any(b"Filters and limits" in frame for frame in received)
    view.expect(view.page.get_by_role("link", name="Compare (1)")).to_be_visible()
    view.page.get_by_role("button", name="Share", exact=True).click()
    view.expect(view.page.get_by_test_id("stPopoverBody")).to_contain_text(f"pick={front[1]}")


def test_the_menu_counts_what_compare_holds(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    view.next(front[0])
    view.expect(view.page.get_by_role("link", name="Compare (1)")).to_be_visible()
    view.next(front[1])
    for count, name in ((1, "Pin"), (2, "Next"), (1, "Clear the selection")):
        view.page.get_by_role("button", name=name, exact=True).click()
        view.expect(view.page.get_by_role("link", name=f"Compare ({count})")).to_be_visible()
        view.settle()
    tray = view.page.locator(".st-key-tray")
    pinned = tray.get_by_role("button", name=f"trial {front[1]}", exact=True).bounding_box()
    assert pinned["x"] - tray.bounding_box()["x"] < 200, "pins follow the word before them"


def test_back_and_forward_walk_the_selection(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open("?study=demo").shows()
    for trial in front[:3]:
        view.next(trial)
    for trial in (front[1], front[0]):
        view.page.go_back()
        view.shows(trial)
    view.page.go_back()
    view.shows()
    view.page.go_forward()
    view.shows(front[0])
    view.named(study=["demo"], pick=[str(front[0])])


def test_back_from_another_page_restores_all_of_the_view(window: Window, address: str, front: list[int]) -> None:
    path = "?study=other&budget=40&pick=7&branches=2"
    view = window(address).open(path).shows(7)
    view.link("Open the design", "design")
    view.page.go_back()
    view.page.get_by_role("heading", level=1, name="Explore").wait_for()
    view.shows(7)
    view.named(study=["other"], budget=["40"], pick=["7"], branches=["2"])
    view.expect(view.page.get_by_role("slider", name="Budget")).to_have_attribute("aria-valuenow", "40")
    view.expect(view.page.get_by_role("combobox", name="Study")).to_have_value("other")


def test_the_budget_is_dragged_and_the_zoom_stays(window: Window, address: str, front: list[int]) -> None:
    view = window(address).open()
    view.point(front[0])
    ranges = "document.querySelector('.st-key-front_chart .js-plotly-plot').layout.xaxis.range"
    view.page.evaluate(
        "Plotly.relayout(document.querySelector('.st-key-front_chart .js-plotly-plot'), {'xaxis.range': [1, 2.3]})"
    )
    view.steady()
    line = view.page.get_by_role("slider", name="Budget")
    box = line.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    view.page.mouse.move(x, y)
    view.page.mouse.down()
    view.page.mouse.move(x - 200, y, steps=4)
    view.page.mouse.up()
    view.page.wait_for_url("**budget=*")
    view.settle()
    budget = float(parse_qs(urlparse(view.page.url).query)["budget"][0])
    view.expect(line).to_have_attribute("aria-valuenow", f"{budget:g}")
    view.page.get_by_text(f"Under {budget:g} GFLOPs the best").wait_for()
    assert view.page.evaluate(ranges) == [1, 2.3]
    line.focus()
    view.page.keyboard.press("ArrowLeft")
    view.page.wait_for_url(f"**budget={budget - 1:g}*")


def test_a_study_is_named_in_the_address_from_the_start(window: Window, address: str) -> None:
    view = window(address).open()
    view.page.wait_for_url("**study=demo*")
    assert view.page.evaluate("history.length") <= 3

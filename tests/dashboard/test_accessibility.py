"""Pages for everybody: no serious finding of axe, the front within reach of the keyboard, a finger that scrolls."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.dashboard.conftest import PATIENCE, PHONE, View

Window = Callable[..., View]

PAGES = ["?pick=3&pin=5", "design?pick=3", "compare?pick=3&pick=5", "space", "study", "validity", "published"]


@pytest.fixture(scope="module")
def axe() -> str:
    found = find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        pytest.skip("the accessibility tests need the axe-playwright-python package")
    return (Path(found.origin).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_serious(window: Window, address: str, axe: str, page: str) -> None:
    view = window(address).open(page).steady()
    view.page.evaluate(axe)
    for scheme in ("light", "dark"):
        view.page.emulate_media(color_scheme=scheme)
        view.steady()
        found = view.page.evaluate("axe.run().then(result => result.violations)")
        serious = {one["id"]: [node["html"] for node in one["nodes"]] for one in found if one["impact"] in _SERIOUS}
        assert not serious, (scheme, serious)


_SERIOUS = ("serious", "critical")


def test_the_keyboard_reaches_the_front_within_ten_presses(window: Window, address: str) -> None:
    view = window(address).open().steady()
    view.page.keyboard.press("ArrowRight")
    view.page.wait_for_url("**pick=*")
    view.expect(view.page.locator(".st-key-front_chart .piip-selected")).to_have_count(1)
    view.page.keyboard.press("p")
    view.page.wait_for_url("**pin=*")
    view.page.locator(".st-key-tray").wait_for()


def test_a_finger_scrolls_past_the_chart_and_a_tap_selects(window: Window, address: str, front: list[int]) -> None:
    view = window(address, **PHONE).open().steady()
    wide = "document.querySelector('[data-testid=stMain]').scrollWidth"
    assert view.page.evaluate(wide) <= 390, "the page is wider than the phone"
    chart = view.page.locator(".st-key-front_chart .piip-chart")
    chart.scroll_into_view_if_needed()
    before = view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').layout.xaxis.range")
    top = chart.bounding_box()["y"]
    now = "document.querySelector('.st-key-front_chart .piip-chart').getBoundingClientRect().y"
    insist(view, lambda: swipe(view, 200, min(700, top + 300), -250), f"top => {now} < top - 100", top)
    after = view.page.evaluate("document.querySelector('.st-key-front_chart .js-plotly-plot').layout.xaxis.range")
    assert after == before, "the swipe panned the chart"
    view.steady()  # a tap on a page that still scrolls only stops it
    picked = "pick => location.search.includes('pick=' + pick)"
    insist(view, lambda: view.page.touchscreen.tap(*view.point(front[0])), picked, front[0])
    view.page.wait_for_function(_SHEET)


_SHEET = """() => {
  const sheet = document.querySelector('.st-key-inspector')?.getBoundingClientRect();
  return sheet && Math.abs(sheet.bottom - innerHeight) < 2 && sheet.width > 380 && sheet.height < 0.5 * innerHeight;
}"""
"""Whether what is selected lies as a sheet over the lower part of the screen."""


def insist(view: View, touch: Callable[[], None], heard: str, arg: float) -> None:
    """Touch the page until it has heard it: a browser whose page is busy drops touches."""
    from playwright.sync_api import TimeoutError

    end = time.monotonic() + PATIENCE
    while True:
        touch()
        try:
            view.page.wait_for_function(heard, arg=arg, timeout=15_000)
        except TimeoutError:
            assert time.monotonic() < end, f"never heard: {heard}"
        else:
            return


def swipe(view: View, x: float, y: float, by: float) -> None:
    """Move a finger up or down the screen."""
    devtools = view.page.context.new_cdp_session(view.page)
    for kind, places in (("touchStart", [0.0]), ("touchMove", [step / 10 for step in range(1, 11)])):
        for share in places:
            point = {"x": x, "y": y + share * by}
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [point]})
    devtools.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

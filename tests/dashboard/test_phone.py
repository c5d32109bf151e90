"""What a phone shows: a bar of one row, and drawings whose labels are whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.dashboard.conftest import PHONE, View, served

Window = Callable[..., View]

LONG = "vit[depth=6,dim=96,heads=3]@896 convnext[depths=3-3-9-3,dims=48-96-192-384]@448 vit_small@224; interactions=3"


def test_the_bar_is_one_row_and_more_opens_the_rest(window: Window, address: str) -> None:
    view = window(address, **PHONE).open()
    rest = [view.page.get_by_text("FLOPs accounting"), view.page.get_by_label("Find a trial by its number")]
    rest.append(view.page.get_by_role("button", name="Share", exact=True))
    view.expect(view.page.get_by_role("combobox", name="Study")).to_be_visible()
    for part in rest:
        view.expect(part).to_be_hidden()
    view.page.wait_for_function("document.querySelector('.st-key-bar').getBoundingClientRect().bottom < 120")
    view.page.get_by_text("More", exact=True).click()
    for part in rest:
        view.expect(part).to_be_visible()
    rest[1].fill("3")
    rest[1].press("Enter")
    view.shows(3)


def test_a_wide_screen_shows_all_of_the_bar(window: Window, address: str) -> None:
    view = window(address).open()
    view.expect(view.page.get_by_role("button", name="Share", exact=True)).to_be_visible()
    view.expect(view.page.get_by_text("More", exact=True)).to_be_hidden()


def test_a_command_breaks_between_its_words_alone(window: Window, tmp_path: Path) -> None:
    with served("--storage", str(tmp_path)) as url:
        view = window(url, **PHONE).open()
        view.page.locator("code", has_text="--study").wait_for()
        assert view.page.evaluate(_BROKEN) == []


def test_a_design_breaks_between_its_words_alone(window: Window, address: str) -> None:
    for merge in ("conv-multilevel", "separate-heads"):
        design = f"vit_tiny@448 vit_base@224; merge={merge}"
        view = window(address, **PHONE).open(f"design?pick={design}")
        shown = view.page.locator("code.piip-design").first
        shown.wait_for()
        assert shown.inner_text() == design
        for width in range(390, 260, -10):  # so that a line would end after a hyphen
            view.page.set_viewport_size({"width": width, "height": 844})
            assert view.page.evaluate(_TORN) == []


def test_no_label_of_a_drawing_is_cut(window: Window, address: str) -> None:
    view = window(address, **PHONE).open(f"design?pick={LONG}")
    view.page.locator(".st-key-drawing .annotation-text").first.wait_for()
    view.steady()
    assert view.page.evaluate(_OUTSIDE) == []


def test_the_tool_bar_of_a_table_covers_nothing(window: Window, address: str) -> None:
    view = window(address, **PHONE).open("compare?pick=3&pick=4")
    bar = view.page.get_by_test_id("stDataFrame").first.get_by_test_id("stElementToolbar")
    bar.wait_for()
    view.steady()
    field = view.page.locator(".st-key-added [data-testid=stTextInputRootElement]")
    assert field.bounding_box()["y"] + field.bounding_box()["height"] <= bar.bounding_box()["y"]


_BROKEN = """() => {
  const shown = [...document.querySelectorAll('p code')];
  return shown.filter(code => code.offsetHeight > 1.9 * parseFloat(getComputedStyle(code).fontSize))
    .map(code => code.textContent);
}"""

_TORN = """() => {
  const words = [...document.querySelectorAll('.piip-design span')];
  return words.filter(word => word.offsetHeight > 1.9 * parseFloat(getComputedStyle(word).fontSize))
    .map(word => word.textContent);
}"""

_OUTSIDE = """() => {
  const chart = document.querySelector('.st-key-drawing .main-svg').getBoundingClientRect();
  const labels = [...document.querySelectorAll('.st-key-drawing .annotation-text')];
  const cut = box => box.left < chart.left || box.top < chart.top || box.right > chart.right;
  return labels.filter(label => cut(label.getBoundingClientRect())).map(label => label.textContent);
}"""

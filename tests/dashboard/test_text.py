from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from piip_explore.dashboard import text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (17.42, "17.4"),
        (463.2, "463"),
        (29323.0, "29,323"),
        (0.0123, "0.0123"),
        (0, "0"),
        (100.0, "100"),
        (-3.14159, "-3.14"),
        (2.0, "2"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
    ],
)
def test_number_has_three_digits(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_count_has_a_plural() -> None:
    assert text.count(1, "trial") == "1 trial"
    assert text.count(12000, "trial") == "12,000 trials"


@given(st.text())
def test_one_line_has_no_control_characters(words: str) -> None:
    line = text.one_line(words)
    assert len(line) <= 500
    assert not any(ord(letter) < 32 or letter in "\x7f\u2028\u202e\u2066" for letter in line)


@given(st.text(alphabet="a`", min_size=1, max_size=20))
def test_code_is_fenced_by_more_backticks_than_it_holds(words: str) -> None:
    shown = text.code(words)
    fence = shown[: len(shown) - len(shown.lstrip("`"))]
    inside = shown[len(fence) : -len(fence)]
    assert fence not in inside.replace(" ", "x").split("x") or "`" not in inside
    assert text.one_line(words) in shown


@given(st.text(max_size=200))
def test_plain_text_reads_back(words: str) -> None:
    assert "<" not in text.plain(words)
    assert html.unescape(text.plain(words)) == text.one_line(words)


def test_a_design_is_words_that_read_back() -> None:
    shown = text.design("vit_tiny@448 <b>; merge=conv-multilevel")
    assert "<span>merge=conv-multilevel</span>" in shown
    assert "<b>" not in shown
    assert html.unescape(re.sub("<[^>]*>", "", shown)) == "vit_tiny@448 <b>; merge=conv-multilevel"


def test_prose_escapes_markup_and_addresses() -> None:
    shown = text.prose("[a](http://x.y) <b> :red[z] www.x.y a@b.c")
    assert shown.replace("\\", "").replace("\u2060", "") == "[a](http://x.y) <b> :red[z] www.x.y a@b.c"
    assert not re.search(r"(?<!\\)[][(<>:@]", shown), "markup that is not escaped"
    assert not re.search(r"http\\?:\\?/|www\\?\.|a\\?@", shown), "an address that becomes a link"


def test_a_command_is_code_word_by_word() -> None:
    assert text.command("show --out a-b.csv") == "`show` `--out` `a-b.csv`"


def test_prose_keeps_options_and_percentages_whole() -> None:
    shown = text.prose(
        "choose another --storage (or --all-trials), `--x` costs a--b 33 % less with merge=conv-multilevel"
    )
    assert re.findall("(?<!\\\\)`([^`]*)`", shown) == ["--storage", "--all-trials", "--x", "merge=conv-multilevel"]
    assert "33\u00a0\\% less" in shown


def test_a_model_that_predicts_badly_comes_with_a_warning() -> None:
    assert text.trust(0.9) == "Its R² on unseen runs is 0.90."
    assert "with caution" in text.trust(0.3)

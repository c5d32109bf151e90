"""Numbers and foreign text as they may be shown.

Names of studies, user attributes and YAML come from anybody. Streamlit renders Markdown, with images and links, and
Plotly a subset of HTML: what is not ours goes through `code`, `prose` or `plain` before it reaches either.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable

_CONTROL = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")
_OPTION = re.compile(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*|[a-z]+=[a-z]+(?:-[a-z]+)+)")
_LONGEST = 500


def one_line(text: object, longest: int = _LONGEST) -> str:
    """Return text without control characters and line breaks, shortened to `longest` characters."""
    line = _CONTROL.sub(" ", str(text)).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def code(text: object) -> str:
    """Return text as Markdown that shows it literally: an inline code span, in which nothing is markup."""
    line = one_line(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"`{line}`"


def command(words: str) -> str:
    """Return a command as Markdown whose lines break between its words, never at the hyphens of an option."""
    return " ".join(f"`{word}`" for word in words.split())


def design(words: object) -> str:
    """Return a design's text as HTML whose lines break between its words, not at the hyphens of an option."""
    spans = " ".join(f"<span>{html.escape(word)}</span>" for word in one_line(words, 2000).split())
    return f"<code class=piip-design>{spans}</code>"


def prose(text: object) -> str:
    """Return text as Markdown that shows it literally in the running font, for sentences with foreign parts.

    No line breaks before a percent sign, or in an option of a command or a design, which is code.
    """
    parts = _OPTION.split(one_line(text).replace(" %", "\u00a0%"))
    return "".join(f"`{part}`" if place % 2 else _literal(part) for place, part in enumerate(parts))


def _literal(line: str) -> str:
    escaped = re.sub(r"([!-/:-@\[-`{-~])", r"\\\1", line)
    # Addresses become links after escapes are read; an invisible word joiner keeps them text.
    return re.sub(r"(?i)(\\:(?=\\/)|www(?=\\\.)|\w(?=\\@))", "\\1\u2060", escaped)


def plain(text: object, longest: int = _LONGEST) -> str:
    """Return text for a Plotly label or hover card that shows it literally."""
    return html.escape(one_line(text, longest), quote=False)


def cards(names: Iterable[object], designs: Iterable[object]) -> list[str]:
    """Return hover cards for Plotly: a name each, and the design below it."""
    return [f"<b>{plain(name)}</b><br>{plain(design)}" for name, design in zip(names, designs, strict=True)]


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with `digits` significant digits, a dash where there is none: 17.4, 463, 29,323."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    shown = f"{value:,.{decimals}f}"
    return shown.rstrip("0").rstrip(".") if "." in shown and decimals > 1 else shown


def count(many: int, noun: str) -> str:
    """Return `1 trial`, `12,000 trials`."""
    return f"{many:,} {noun}" + ("" if many == 1 else "s")


def trust(r2: float) -> str:
    """Return a sentence on how well a model predicts unseen runs, with a warning if it does badly."""
    return f"Its R² on unseen runs is {r2:.2f}" + (": treat this with caution." if r2 < 0.5 else ".")


def signed(value: float, digits: int = 3) -> str:
    """Return a difference with its sign: +1.5, −0.3, ±0; empty if it is not finite."""
    if not math.isfinite(value):
        return ""
    return "±0" if value == 0 else f"{'+' if value > 0 else '−'}{number(abs(value), digits)}"

"""How times, and texts from files and databases, are written on a terminal."""

from __future__ import annotations

from collections.abc import Sequence


def printable(text: str) -> str:
    """Return a text with every control character but line ends as its escape, so that none reaches the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def aligned(rows: Sequence[Sequence[str]], left: int = 0) -> list[str]:
    """Return rows of cells as lines with aligned columns: the last `left` ones to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = [str.rjust] * (len(widths) - left) + [str.ljust] * left
    cells = ((side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)) for row in rows)
    return ["  ".join(row).rstrip() for row in cells]


def duration(seconds: float) -> str:
    """Return a time as a person says it: 40 s, 3 min 20 s, 2 h 05 min."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"

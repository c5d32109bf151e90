"""How times, and texts from files and databases, are written on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return a text with every control character but line ends as its escape, so that none reaches the terminal."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def duration(seconds: float) -> str:
    """Return a time as a person says it: 40 s, 3 min 20 s, 2 h 05 min."""
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {whole % 60:02} s" if minutes else f"{whole} s"

"""Damage to files, for tests of what is read back."""

import random
from collections.abc import Iterator
from pathlib import Path


def damaged(path: Path, flips: int) -> Iterator[bytes]:
    """Damage a file in turn by `flips` single flipped bits and by cuts; yield its content when it was whole."""
    whole = path.read_bytes()
    drawn = random.Random(0)
    for bit in drawn.sample(range(8 * len(whole)), flips):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        yield whole
    for length in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        yield whole
    path.write_bytes(whole + b"\0")
    yield whole

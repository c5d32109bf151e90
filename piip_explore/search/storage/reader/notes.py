"""Notes on trials, where optuna-dashboard (0.21) keeps them too: in system attributes of the study.

A note of a trial, by the storage's own number of it, is cut into pieces `dashboard:7:note_str:0`, `...:1`, and so on;
`dashboard:7:note_ver` counts how often it was written. Pieces that a shorter note needs no more are empty.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

PREFIX = "dashboard:"
"""How the attributes begin."""

_VERSION = re.compile(r"dashboard:(\d+):note_ver")
_LONGEST = 2045


@dataclass(frozen=True)
class Note:
    """A note's text, and how often it was written."""

    text: str = ""
    version: int = 0


class Notes:
    """The notes among a study's system attributes, as far as they were read."""

    def __init__(self) -> None:
        self._found: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> None:
        """Take in a system attribute; others than notes are passed over."""
        if name.startswith(PREFIX):
            self._found[name] = value

    def of(self, trial: int) -> Note:
        """Return the note on a trial, an empty one where there is none."""
        version = self._found.get(f"{PREFIX}{trial}:note_ver")
        if version is None:
            return Note()
        pieces, place = [], 0
        while (piece := self._found.get(_piece(trial, place))) is not None:
            pieces.append(str(piece))
            place += 1
        return Note("".join(pieces), int(version))

    def trials(self) -> list[int]:
        """Return the trials with a note."""
        return [int(match[1]) for name in self._found if (match := _VERSION.fullmatch(name))]

    def to_write(self, trial: int, text: str) -> dict[str, Any]:
        """Return the attributes to set for a note to say `text`, its version last."""
        pieces = [text[start : start + _LONGEST] for start in range(0, len(text), _LONGEST)]
        while self._found.get(_piece(trial, len(pieces))):
            pieces.append("")
        written: dict[str, Any] = {_piece(trial, place): piece for place, piece in enumerate(pieces)}
        return {**written, f"{PREFIX}{trial}:note_ver": self.of(trial).version + 1}


def _piece(trial: int, place: int) -> str:
    return f"{PREFIX}{trial}:note_str:{place}"

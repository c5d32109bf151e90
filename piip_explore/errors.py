"""The one exception that means "the input is wrong, the program is not"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: its message is one clear sentence that names the thing and the way out.

    The command line prints the message and exits with status 2; anything else is a failed run (status 1).
    """


def expected(given: str, known: Iterable[str]) -> str:
    """Return how the sentence about an unknown name ends: with the closest known one, else with all of them."""
    names = list(known)
    folded = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(given.lower(), folded, 1)
    return f"did you mean '{folded[close[0]]}'?" if close else f"expected one of {', '.join(names)}"

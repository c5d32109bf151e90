"""Waiting for a lock or a server: said after a few seconds, and ended when the search is told to stop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from piip_explore.errors import InputError

QUIET_SECONDS = 5.0
"""How long a wait lasts before it is announced."""

_LOOK_SECONDS = 0.25

T = TypeVar("T")

_log = logging.getLogger(__name__)


class WaitEndedError(InputError):
    """What was waited for has not come in time."""


class LockLostError(InputError):
    """The server has ended the connection that held the study's lock: another search may have it by now."""

    def __init__(self) -> None:
        super().__init__("the server has ended the connection that held the study's lock: try again")


class Patience:
    """How long a storage waits; shared by everything that waits for one study.

    Attributes:
        limit: seconds after which every wait ends, None while there is none; it may be set during one.
    """

    def __init__(self) -> None:
        self.limit: float | None = None

    def waits(
        self, describe: Callable[[], str], first: float, longest: float, give_up: float | None = None
    ) -> Iterator[None]:
        """Yield before each new try of something, with longer and longer pauses in between.

        Args:
            describe: says what is waited for; called once, when the wait is announced.
            first: seconds of the first pause; every further one is twice as long.
            longest: seconds of the longest pause.
            give_up: seconds after which the wait ends, None for never.

        Raises:
            WaitEndedError: `give_up` has passed, or `limit`.
        """
        began, pause, said = time.monotonic(), first, False
        yield
        while True:
            waited = time.monotonic() - began
            if waited > min(seconds for seconds in (give_up, self.limit, float("inf")) if seconds is not None):
                raise WaitEndedError(f"{describe()}: gave up after {waited:.0f} s")
            if not said and waited > QUIET_SECONDS:
                _log.warning("%s: waiting", describe())
                said = True
            self._sleep(pause, began)
            pause = min(2 * pause, longest)
            yield

    def until(self, attempt: Callable[[], T | None], describe: Callable[[], str], first: float) -> T:
        """Try something until it returns a value, with pauses of `first` to 0.1 s (see `waits`)."""
        for _ in self.waits(describe, first, 0.1):
            found = attempt()
            if found is not None:
                return found
        raise AssertionError("waits end by an error")

    def _sleep(self, seconds: float, began: float) -> None:
        """Pause, but no longer than a wait since `began` may take: a signal may have set the limit meanwhile."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and (self.limit is None or time.monotonic() - began <= self.limit):
            time.sleep(min(left, _LOOK_SECONDS))

"""What a long operation is doing: told where it is done, heard by whoever runs it.

Whoever runs it may stop it: what the listener raises goes through the place that told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, float], None]
"""Called with a phase in words and the share of it that is done, 0 to 1."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)
_NAME: ContextVar[str] = ContextVar("name", default="")


def tell(phase: str, share: float = 0.0) -> None:
    """Say what is being done; costs nothing where nobody listens. Call it several times a second."""
    listener = _LISTENER.get()
    if listener is not None:
        listener(_NAME.get() or phase, share)


@contextmanager
def named(phase: str) -> Iterator[None]:
    """Call everything that is told within the block `phase`."""
    token = _NAME.set(phase)
    try:
        yield
    finally:
        _NAME.reset(token)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Have `listener` hear what is told within the block."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)

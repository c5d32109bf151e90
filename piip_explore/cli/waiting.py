"""What a command says while it gets ready: the name of a phase that takes long, once."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click

from piip_explore import phases
from piip_explore.terminal import printable

_SILENT_SECONDS = 2.0


@contextmanager
def said(aloud: bool) -> Iterator[None]:
    """Name on stderr each phase within the block that lasts longer than two seconds, if `aloud`."""
    current, since, told = "", 0.0, False

    def listen(phase: str, share: float) -> None:
        nonlocal current, since, told
        if phase != current:
            current, since, told = phase, time.monotonic(), False
        elif not told and time.monotonic() - since > _SILENT_SECONDS:
            told = True
            if aloud:
                click.echo(printable(f"{phase} ..."), err=True)

    with phases.heard(listen):
        yield

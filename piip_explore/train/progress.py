"""What is said while a training runs: a bar on a terminal, else a line now and then."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from piip_explore.terminal import duration

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_LINE_SECONDS = 30.0


class Shown:
    """Steps done, loss and time left of a run from step `start` to `steps`; nothing where `quiet`."""

    def __init__(self, start: int, steps: int, quiet: bool) -> None:
        from rich.console import Console

        self.start, self.steps, self.quiet = start, steps, quiet
        self.console = Console(stderr=True, quiet=quiet)
        self._began = self._shown = time.monotonic()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal and not self.quiet:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(True),
                console=self.console, transient=True, refresh_per_second=2,
            )  # fmt: skip
            self._task = self._bar.add_task("", total=self.steps, completed=self.start)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def step(self, done: int, text: str) -> None:
        """Show that so many steps are done."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, description=text)
        elif time.monotonic() - self._shown > _LINE_SECONDS:
            self._shown = time.monotonic()
            each = (self._shown - self._began) / max(1, done - self.start)
            left = duration(each * (self.steps - done))
            self.say(f"step {done} of {self.steps}, {text}, about {left} to go")

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, soft_wrap=True, highlight=False, markup=False)

"""Scoring a design with a command: your own training on the exported config."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piip_explore import phases
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export import exporter, write_files
from piip_explore.files import exclusive
from piip_explore.search.evaluators import EvaluationTask, Outcome, Progress

METRICS = "metrics.json"
"""The file in the folder `{out}` from which metrics are read; without it, the last JSON line of the output counts."""

_GRACE_SECONDS = 30.0
_FIELDS = ("config", "out", "gpu", "fidelity", "seed")
_FIELD = re.compile(r"(?<!\$)\{([a-z]+)\}")  # ${name} is the shell's


@dataclass(frozen=True)
class CommandEvaluator:
    """Exports a design, runs a command on it and reads its metric.

    Attributes:
        command: a shell-like command line; `{config}` is the exported file, `{out}` a folder for results and
            checkpoints, `{gpu}` the device's number (empty on the CPU), `{fidelity}` the share of a full run, `{seed}`.
        target: what the design is exported for (`piip_explore.export.TARGETS`).
        metric: the entry of the metrics that is the score; higher is better.
        time_limit: seconds after which the command is ended, None for no limit.

    A run that was interrupted gets the same folder again. A command that fails, takes too long or leaves no metric has
    crashed; a metric that is not finite has diverged.

    Raises:
        InputError: an unknown target, or a command with other fields.
    """

    command: str
    target: str = "native"
    metric: str = "score"
    time_limit: float | None = None

    def __post_init__(self) -> None:
        exporter(self.target)
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"command '{self.command}': {error}") from None
        if not words:
            raise InputError("an empty command evaluates nothing")
        for name in _FIELD.findall(self.command):
            if name not in _FIELDS:
                fields = ", ".join(f"{{{field}}}" for field in _FIELDS)
                raise InputError(f"command '{self.command}': unknown field {{{name}}}: expected {fields}")

    def describe(self) -> dict[str, Any]:
        """Return the command, the target and the metric's name."""
        return {"kind": "command", "command": self.command, "target": self.target, "metric": self.metric}

    def conditions(self, device: str) -> dict[str, str]:
        """Return constants: what the command depends on is unknown here."""
        return {"code_version": "command", "kernel_backend": "none"}

    def evaluate(self, task: EvaluationTask, progress: Progress) -> Outcome:
        """Run the command.

        Raises:
            RuntimeError: it failed, took too long, or left no metric.
            InputError: the target cannot express the design.
        """
        files = exporter(self.target).export(Design.parse(task.design))
        folder = (task.checkpoints or Path("runs")).absolute() / f"{task.design_id}-{task.fidelity:g}-{task.seed}"
        out, began = folder / "out", time.monotonic()
        out.mkdir(parents=True, exist_ok=True)

        def wait() -> None:
            phases.tell("waiting for the command of an earlier search")
            progress(0.0)

        with exclusive(folder / "lock", wait) as lock:  # the command inherits it, and holds it as long as it runs
            config = write_files(files, folder / "config", force=True)[0]
            words = self._words(task, config, out)
            output = self._run(words, folder, task.device, lock, progress)
        metrics = _metrics(out, output)
        if self.metric not in metrics:
            found = ", ".join(metrics) or "none"
            raise RuntimeError(f"the command left no metric '{self.metric}' in {out / METRICS} (found: {found})")
        return self._outcome(task, metrics, time.monotonic() - began)

    def _words(self, task: EvaluationTask, config: Path, out: Path) -> list[str]:
        gpu = task.device.partition(":")[2] or "0" if task.device.startswith("cuda") else ""
        values = {"config": config, "out": out, "gpu": gpu, "fidelity": f"{task.fidelity:g}", "seed": task.seed}
        return [_FIELD.sub(lambda match: str(values[match[1]]), word) for word in shlex.split(self.command)]

    def _run(self, words: list[str], folder: Path, device: str, lock: int, progress: Progress) -> str:
        """Run the command to its end and return what it printed, which goes to a log, too."""
        with (folder / "log").open("ab") as log:
            before = log.tell()
            try:
                process = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    pass_fds=[lock],
                )  # fmt: skip
            except OSError as error:
                raise RuntimeError(f"cannot run '{words[0]}': {error.strerror}") from None
            try:
                status = self._waited(process, progress)
            finally:
                _end(process)
        with (folder / "log").open("rb") as log_read:
            log_read.seek(before)
            output = log_read.read().decode(errors="replace")
        if status:
            last = next((line for line in reversed(output.splitlines()) if line.strip()), "it printed nothing")
            raise RuntimeError(f"'{words[0]}' ended with status {status}: {last.strip()[:200]} (see {folder / 'log'})")
        return output

    def _waited(self, process: subprocess.Popen[bytes], progress: Progress) -> int:
        phases.tell("running the command")
        began = time.monotonic()
        while True:
            with suppress(subprocess.TimeoutExpired):
                return process.wait(0.5)
            progress(0.0)  # raises if the search is to stop
            if self.time_limit is not None and time.monotonic() - began > self.time_limit:
                raise RuntimeError(f"the command took longer than {self.time_limit:g} s and was ended")

    def _outcome(self, task: EvaluationTask, metrics: Mapping[str, float], seconds: float) -> Outcome:
        score, error = metrics[self.metric], metrics.get("standard_error")
        details = {name: value for name, value in metrics.items() if name not in (self.metric, "standard_error")}
        conditions = {"device": task.device, **self.conditions(task.device)}
        if not math.isfinite(score):
            message = f"{self.metric} is {score}"
            return Outcome("diverged", math.nan, None, seconds, conditions=conditions, message=message)
        return Outcome("ok", score, error, seconds, conditions=conditions, details=details)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command with all that it has started."""
    for number, seconds in ((signal.SIGTERM, _GRACE_SECONDS), (signal.SIGKILL, None)):
        if process.poll() is not None:
            return
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def _metrics(out: Path, output: str) -> dict[str, float]:
    """Return the numbers of the metrics file, else of the last line of the output that is a JSON object."""
    path = out / METRICS
    texts = [path.read_text()] if path.exists() else [line for line in reversed(output.splitlines()) if "{" in line]
    for text in texts:
        with suppress(ValueError, RecursionError):
            found = json.loads(text)
            if isinstance(found, dict):
                return {name: float(value) for name, value in found.items() if type(value) in (int, float)}
    return {}

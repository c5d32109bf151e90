"""Searches started, paused and resumed from a page.

A search is `piip-explore search` in a process of its own, in a session of its own: closing the browser or stopping the
dashboard does not stop it. What was started is noted beside the study, so that any dashboard on this machine can pause
or resume it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from piip_explore.dashboard.options import Options
from piip_explore.errors import InputError
from piip_explore.search.storage import StorageURL, parse
from piip_explore.search.storage.url import file_name

_STARTED: dict[int, subprocess.Popen[bytes]] = {}
"""Our own children, to be reaped when they end."""

_STARTING = threading.Lock()


@dataclass(frozen=True)
class Wanted:
    """What a search is asked to do; what is None is left to `piip-explore search`."""

    study: str
    space: str
    trials: int
    workers: int | None = None
    preset: str | None = None
    executor: str | None = None

    def command(self) -> list[str]:
        """Return the command line; values are joined to their options, so that none is taken for an option."""
        words = ["search", self.space, f"--study={self.study}", f"--trials={self.trials}"]
        words += [] if self.workers is None else [f"--workers={self.workers}"]
        words += [] if self.preset is None else [f"--preset={self.preset}"]
        words += [] if self.executor is None else [f"--executor={self.executor}"]
        return [sys.executable, "-m", "piip_explore", *words]


@dataclass(frozen=True)
class StartedSearch(Wanted):
    """A search that a page started; `began` tells its process from a later one with the same number."""

    pid: int = field(kw_only=True)
    began: str = field(kw_only=True)


def storage_of(options: Options, study: str) -> StorageURL:
    """Return where a new study goes: into the first storage that the dashboard was started with.

    Raises:
        InputError: the name is not one of letters, digits, dots, dashes and underscores.
    """
    if file_name(study) != study:
        raise InputError(f"study name '{study}': expected up to 64 letters, digits, dots, dashes and underscores")
    first = options.storages[0]
    if "://" not in first and (Path(first).is_dir() or not Path(first).suffix):
        return parse(Path(first) / f"{study}.journal")
    return parse(first)


def start(storage: StorageURL, wanted: Wanted) -> StartedSearch:
    """Start or resume a search; the storage's address travels in the environment, where `ps` does not show it.

    Raises:
        InputError: a search of this study runs already, or nothing can be written beside the study.
    """
    with _STARTING:  # of two clicks at once, the second finds the search of the first
        if running(storage, wanted.study) is not None:
            raise InputError(f"a search of study '{wanted.study}' runs already: pause it first")
        folder = _folder(storage, wanted.study)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / "search.log").open("ab") as log:
                process = _spawn(storage, wanted, log)
            run = StartedSearch(**asdict(wanted), pid=process.pid, began=_began(process.pid))
            (folder / "search.json").write_text(json.dumps(asdict(run)))
        except OSError as error:
            raise InputError(f"cannot write to '{folder}': {error.strerror}: choose another --storage") from None
        return run


def _spawn(storage: StorageURL, wanted: Wanted, log: BinaryIO) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        wanted.command(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PIIP_EXPLORE_STORAGE": storage.secret},
        start_new_session=True,
    )
    _STARTED[process.pid] = process
    return process


def last(storage: StorageURL, study: str) -> StartedSearch | None:
    """Return the search that a page started last, whether it still runs or not."""
    try:
        return StartedSearch(**json.loads((_folder(storage, study) / "search.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def running(storage: StorageURL, study: str) -> StartedSearch | None:
    """Return the search that a page started, if it still runs on this machine."""
    run = last(storage, study)
    return run if run is not None and _alive(run) else None


def pause(run: StartedSearch) -> None:
    """Ask a search to stop: evaluations under way are put back, nothing that is finished is lost."""
    if _alive(run):
        os.kill(run.pid, signal.SIGTERM)


def log(storage: StorageURL, study: str, lines: int = 30) -> str:
    """Return the last lines that the search printed, without the storage's password."""
    try:
        with (_folder(storage, study) / "search.log").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200 * lines))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    return storage.redact("\n".join(text.splitlines()[-lines:]))


def _folder(storage: StorageURL, study: str) -> Path:
    """Return the folder of a search's notes; a journal may hold several studies."""
    return storage.files(study) / "searches" / file_name(study)


def _alive(run: StartedSearch) -> bool:
    child = _STARTED.get(run.pid)
    if child is not None and child.poll() is not None:
        del _STARTED[run.pid]
        return False
    began = _began(run.pid)
    return bool(began) and began == run.began


def _began(pid: int) -> str:
    """Return what tells a process from others that had its number, empty if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return _listed(pid)
    return "" if fields[0] == "Z" else fields[19]


def _listed(pid: int) -> str:
    """Ask `ps` where there is no /proc."""
    if Path("/proc/self/stat").exists():
        return ""
    answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return answer.stdout.strip()

"""Run the commands of a page in an empty folder with an empty cache, and write what they print under them.

    python -m benchmarks.recording        # of docs/two-minutes.md

Commands are the lines `$ ...` of the page's console blocks. Whatever else such a block holds is replaced by the new
output, in which a wait without a word is one line, and the folder is `~`. The page's last line says what was run.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from piip_explore import __version__
from piip_explore.files import write_whole
from piip_explore.terminal import duration

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "two-minutes.md"
_BLOCK, _PROMPT, _STAMP = "```console", "$ ", "Recorded by `benchmarks/recording.py`: "
_WAIT_SECONDS = 5.0


def commands(page: str) -> list[str]:
    """Return the commands of a page's console blocks."""
    found: list[str] = []
    rewritten(page, lambda command: found.append(command) or [])
    return found


def rewritten(page: str, output: Callable[[str], list[str]]) -> str:
    """Return the page with the lines that `output` gives under each command, in place of those that were there."""
    lines, inside = list[str](), False
    for line in page.splitlines():
        if line.startswith("```"):
            inside = line == _BLOCK
        if inside and line.startswith(_PROMPT):
            lines += [line, *output(line.removeprefix(_PROMPT))]
        elif not inside or line == _BLOCK:
            lines.append(line)
    return "\n".join(lines) + "\n"


def fingerprint(page: str) -> str:
    """Return eight hexadecimal digits that name a page's commands."""
    return hashlib.sha256("\n".join(commands(page)).encode()).hexdigest()[:8]


def stamp(page: str, seconds: float, cpu_seconds: float) -> str:
    """Return the line that says which commands were run, where, and how long they took."""
    ran = f"{len(commands(page))} commands ({fingerprint(page)}) of piip-explore {__version__}"
    where = f"{len(os.sched_getaffinity(0))} shared CPU cores"
    return f"{_STAMP}{ran}, {duration(cpu_seconds)} of CPU time in {duration(seconds)} on {where}."


def record(page: str, folder: Path) -> str:
    """Run a page's commands in a folder and return the page with their output.

    Raises:
        CalledProcessError: a command fails; its output is in the error.
    """
    began, cpu_began = time.monotonic(), _cpu_seconds()
    shown = rewritten(page, lambda command: _output(command, folder))
    said = stamp(page, time.monotonic() - began, _cpu_seconds() - cpu_began)
    return f"{shown.partition(_STAMP)[0].rstrip()}\n\n{said}\n"


def _cpu_seconds() -> float:
    """Return the CPU time of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _output(command: str, folder: Path) -> list[str]:
    """Run a command and return what it prints, line by line, without the folder's name."""
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PIIP_EXPLORE_CACHE": str(folder / ".cache"),
        "PYTHONUNBUFFERED": "1",
    }
    words = ["bash", "-o", "pipefail", "-c", command]
    lines, heard = list[str](), time.monotonic()
    with subprocess.Popen(
        words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            waited, heard = time.monotonic() - heard, time.monotonic()
            if waited > _WAIT_SECONDS:
                lines.append(f"[{duration(waited)}]")
            lines.append(line.rstrip().replace(str(folder), "~"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, "\n".join(lines))
    return lines


def main() -> None:
    """Record the page again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", nargs="?", type=Path, default=PAGE)
    path = parser.parse_args().page
    with tempfile.TemporaryDirectory() as folder:
        try:
            text = record(path.read_text(), Path(folder))
        except subprocess.CalledProcessError as error:
            sys.exit(f"{error}\n{error.output}")
    write_whole(path, lambda part: part.write_text(text))


if __name__ == "__main__":
    main()

"""Several commands of the command line in one new process, each as if it were typed.

python -m tests.commands MODULES COMMANDS      # both JSON: modules that are to be missing, lists of arguments
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Answer:
    """The exit status of a command and what it printed."""

    status: int
    out: str
    err: str


def run(arguments: Sequence[str]) -> Answer:
    """Run a command in this process."""
    from piip_explore.cli import main

    status, out, err = 0, io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main(list(arguments))
        except SystemExit as ended:
            status = int(ended.code or 0)
    return Answer(status, out.getvalue(), err.getvalue())


def run_all(
    commands: Iterable[Sequence[str]],
    folder: Path,
    missing: Iterable[str] = (),
    environment: Mapping[str, str] | None = None,
) -> list[Answer]:
    """Run commands one after the other in a folder; starting Python and PyTorch for each would take a minute."""
    words = [json.dumps(list(missing)), json.dumps([list(arguments) for arguments in commands])]
    variables = dict(os.environ) | {"PYTHONPATH": str(ROOT)} | dict(environment or {})
    process = subprocess.run(
        [sys.executable, "-m", "tests.commands", *words], cwd=folder, env=variables, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr
    return [Answer(*answer) for answer in json.loads(process.stdout)]


if __name__ == "__main__":
    sys.modules.update(dict.fromkeys(json.loads(sys.argv[1])))  # importing what is None there fails
    answers = [astuple(run(arguments)) for arguments in json.loads(sys.argv[2])]
    print(json.dumps(answers))

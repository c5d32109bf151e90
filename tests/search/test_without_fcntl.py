"""Windows has no `fcntl`."""

import subprocess
import sys

PROGRAM = """
import sys
sys.modules["fcntl"] = None  # what importing a module that is missing does: ModuleNotFoundError
from piip_explore.cli import main
main(sys.argv[1:])
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def test_studies_say_in_a_sentence_what_they_need(tmp_path):
    (tmp_path / "some.journal").write_text("")
    for command in ("pareto", "search"):
        arguments = ["search_spaces/demo.yaml"] if command == "search" else []
        done = run(command, *arguments, "--storage", str(tmp_path / "some.journal"))
        assert (done.returncode, done.stdout) == (2, "")
        assert "studies need file locks that this system lacks" in done.stderr
        assert done.stderr.count("\n") == 1

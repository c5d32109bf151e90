"""Every line of docs/tutorial.md but the training, which tests/train runs, as it is printed; presets at toy size."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search import toy

ROOT = Path(__file__).parent.parent
LINES = re.findall(r"^    ([^\s#].*)$", (ROOT / "docs" / "tutorial.md").read_text(), re.MULTILINE)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_tutorial_runs_as_it_is_printed(tmp_path: Path) -> None:
    (tmp_path / "search_spaces").symlink_to(ROOT / "search_spaces")
    (tmp_path / "bin").mkdir()
    for name, words in (("piip-explore", "-m piip_explore"), ("python", "")):
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\nexec {sys.executable} {words} "$@"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    environment = toy.environment(tmp_path)
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    assert len(LINES) >= 8
    said = {}
    for line in LINES:
        run = subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert run.returncode == 0, f"{line}\n{run.stdout}{run.stderr}"
        said[line] = run.stdout
    words = {"data check": "nothing amiss", "pareto": "GFLOPs", "import": "vit_tiny@224 vit_small@112"}
    for command, found in words.items():
        (answer,) = (text for line, text in said.items() if line.startswith(f"piip-explore {command}"))
        assert found in answer
    assert (tmp_path / "scenes.png").exists()
    assert (tmp_path / "detector/design.yaml").exists()

"""The page about both libraries: its code runs, and prints what stands under it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="timm has an environment of its own: make test-train")
pytest.importorskip("transformers", reason="transformers has an environment of its own: make test-train")

PAGE = Path(__file__).parents[2] / "docs" / "integrations.md"


def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n((?:[^`]*\n)+?)```\n\n((?:    .+\n)+)", text)
    assert len(blocks) == text.count("```python")
    scope: dict[str, object] = {}
    for code, printed in blocks:
        exec(code, scope)
        assert capsys.readouterr().out == re.sub("^    ", "", printed, flags=re.MULTILINE)

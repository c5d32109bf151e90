"""Kept parts: read back, counted again where a file is not whole, never half written."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from piip_explore.cost import parts, store

WIDTHS = (32, 64, True)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path))
    store.part.cache_clear()
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def adapter():
    store.part.cache_clear()
    return parts.adapter("conv", *WIDTHS)


@pytest.fixture
def no_tracing(monkeypatch):
    from piip_explore.cost import measure

    def refuse(*arguments):
        raise AssertionError("counted again")

    monkeypatch.setattr(measure, "trace", refuse)


def test_a_part_is_counted_once(empty, request):
    first = adapter()
    (path,) = files(empty)
    assert path.parent.name == store.code_version()
    request.getfixturevalue("no_tracing")
    assert adapter() == first


@pytest.mark.parametrize(
    "content",
    ["", "{", '{"part": "adapter"}', '{"part": "another", "counts": {}}', "[1]", "\x00\xff", '{"counts": 3}'],
)
def test_a_torn_or_foreign_file_is_counted_again(empty, content):
    first = adapter()
    (path,) = files(empty)
    whole = path.read_text()
    path.write_text(content)
    assert adapter() == first
    assert path.read_text() == whole


@pytest.mark.parametrize("value", [1.5, "1", None, [1]])
def test_counts_that_are_not_whole_numbers_are_counted_again(empty, value):
    first = adapter()
    (path,) = files(empty)
    data = json.loads(path.read_text())
    data["counts"]["per_token"][0] = value
    path.write_text(json.dumps(data))
    assert adapter() == first


def test_a_folder_that_cannot_be_written_costs_only_time(empty, monkeypatch):
    first = adapter()
    (empty / "file").write_text("")
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(empty / "file"))
    assert adapter() == first


def test_another_version_of_the_code_counts_for_itself(empty, monkeypatch):
    adapter()
    monkeypatch.setattr(store, "code_version", lambda: "other")
    adapter()
    assert len({path.parent.name for path in files(empty)}) == len(files(empty)) == 2


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path / "own"))
    assert store.folder() == tmp_path / "own" / "parts"
    monkeypatch.delenv("PIIP_EXPLORE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert store.folder() == tmp_path / "xdg" / "piip-explore" / "parts"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.folder() == tmp_path / ".cache" / "piip-explore" / "parts"


def test_concurrent_writers_leave_whole_files(empty):
    program = (
        "from piip_explore.cost import parts\n"
        "print([parts.adapter('linear', 32 * width, 64, False) for width in range(1, 9)])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(2)]
    one, other = (writer.communicate(timeout=120)[0] for writer in writers)
    assert one == other != b""
    assert len(files(empty)) == 8
    for path in files(empty):
        assert path.suffix == ".json"
        json.loads(path.read_text())

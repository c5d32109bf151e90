"""Kept parts: read back, counted again where a file is not whole, never half written."""

import subprocess
import sys
from pathlib import Path

import pytest

from piip_explore.cost import part_cache, part_sizes
from piip_explore.cost.parts import Adapter
from tests.damage import damaged

WIDTHS = (32, 64, True)


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path))
    part_cache.counted.cache_clear()
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def adapter():
    part_cache.counted.cache_clear()
    return part_sizes.adapter("conv", *WIDTHS)


@pytest.fixture
def no_tracing(monkeypatch):
    from piip_explore.cost import part_traces

    def refuse(*arguments):
        raise AssertionError("counted again")

    monkeypatch.setattr(part_traces, "trace", refuse)


def test_a_part_is_counted_once(empty, request):
    first = adapter()
    (path,) = files(empty)
    assert path.parent == part_cache.folder()
    request.getfixturevalue("no_tracing")
    assert adapter() == first


def test_a_damaged_part_is_counted_again(empty, monkeypatch):
    from piip_explore.cost import part_traces

    first, calls = adapter(), []
    counted = part_traces.traced(Adapter("conv", *WIDTHS))
    monkeypatch.setattr(part_traces, "traced", lambda part: calls.append(part) or counted)
    (path,) = files(empty)
    for times, whole in enumerate(damaged(path, flips=400), start=1):
        assert adapter() == first
        assert path.read_bytes() == whole
        assert len(calls) == times


def test_a_folder_that_cannot_be_written_costs_only_time(empty, monkeypatch):
    first = adapter()
    (empty / "file").write_text("")
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(empty / "file"))
    assert adapter() == first


def test_another_version_of_the_code_counts_for_itself(empty, monkeypatch):
    adapter()
    monkeypatch.setattr(part_cache, "code_hash", lambda *sources, libraries: "other")
    adapter()
    assert len({path.parent.name for path in files(empty)}) == len(files(empty)) == 2


def test_concurrent_writers_leave_whole_files(empty):
    program = (
        "from piip_explore.cost import part_sizes\n"
        "print([part_sizes.adapter('linear', 32 * width, 64, False) for width in range(1, 9)])"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) for _ in range(2)]
    one, other = (writer.communicate(timeout=120)[0] for writer in writers)
    assert one == other != b""
    assert len(files(empty)) == 8
    assert {path.suffix for path in files(empty)} == {".counts"}

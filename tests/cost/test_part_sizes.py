"""Parts that are counted on tiny maps against traces at the size itself, and how they are kept on disk."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from piip_explore import catalog
from piip_explore.cost import part_sizes, part_traces
from piip_explore.cost.parts import Adapter
from tests.damage import damaged

WIDTHS = (32, 64, True)


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize(
    "name",
    ["vit_tiny", "clip_base", "beit_base", "intern_vit_6b", "dinov2_reg_giant", "dinov3_small_plus", "pe_core_base"],
)
@pytest.mark.parametrize(("grid", "window"), [(1, None), (13, None), (30, 1), (7, 5), (13, 3), (30, 5)])
def test_a_vit_of_any_size_is_what_its_trace_says(name, class_token, grid, window):
    spec = replace(catalog.MODELS[name], depth=1, dim=64, heads=2)
    counted = part_sizes.vision_transformer(spec, grid, window, class_token)
    traced = part_traces.vision_transformer(spec, grid, None, class_token)
    assert counted.outside == traced["outside"]
    assert counted.global_block == traced["block"]
    if window is None:
        assert counted.windowed_block is None
    else:
        assert counted.windowed_block == part_traces.vision_transformer(spec, grid, window, class_token)["block"]


def test_the_number_of_traces_does_not_grow_with_the_sizes(monkeypatch):
    calls = []
    trace = part_traces.trace
    monkeypatch.setattr(part_traces, "trace", lambda *arguments: calls.append(arguments) or trace(*arguments))
    for grid in range(8, 40):
        part_sizes.vision_transformer(catalog.ViT(1, 48, 3), grid, 7, False)
    assert len(calls) == len(part_traces.SIDES) + 3


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path))
    part_sizes.counted.cache_clear()
    return tmp_path


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def adapter():
    part_sizes.counted.cache_clear()
    return part_sizes.adapter("conv", *WIDTHS)


@pytest.fixture
def no_tracing(monkeypatch):
    def refuse(*arguments):
        raise AssertionError("counted again")

    monkeypatch.setattr(part_traces, "trace", refuse)


def test_a_part_is_counted_once(empty, request):
    first = adapter()
    (path,) = files(empty)
    assert path.parent == part_sizes.folder()
    request.getfixturevalue("no_tracing")
    assert adapter() == first


def test_a_damaged_part_is_counted_again(empty, monkeypatch):
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
    monkeypatch.setattr(part_sizes, "code_hash", lambda *sources, libraries: "other")
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

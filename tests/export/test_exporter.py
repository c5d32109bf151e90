"""The contract that every export target fulfils."""

from __future__ import annotations

from functools import cache

import pytest

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import TARGETS, Exporter, Files, Origin, exporter, write_files
from tests.export.samples import ALL

ORIGIN = Origin("coco-tsb", 17, {"mIoU": 0.4321}, {"task": "dense", "seeds": 3, "device": "cpu"})


@pytest.fixture(params=list(TARGETS))
def target(request: pytest.FixtureRequest) -> Exporter:
    if request.param == "onnx":
        pytest.importorskip("onnxscript", reason="ONNX is written by onnx and onnxscript; they are not installed")
    return exporter(request.param)


SMALL = Design.parse("vit[depth=1,dim=32,heads=2]@64 vit[depth=1,dim=64,heads=2]@32; interactions=1; heads=2")


def expressible(target: Exporter) -> Design:
    return target.nearest(SMALL)


@cache
def _files_of(name: str) -> Files:
    return exporter(name).export(expressible(exporter(name)), ORIGIN)


def files_of(target: Exporter) -> Files:
    """Return the files of the small design with its origin, made once for all tests."""
    return _files_of(target.name)


def texts_of(files: Files) -> str:
    return "".join(content for content in files.values() if isinstance(content, str))


def test_has_its_tables_name(target: Exporter) -> None:
    assert exporter(target.name) == target


@pytest.mark.parametrize("design", ALL, ids=str)
def test_expresses_or_refuses_with_the_nearest_it_can(target: Exporter, design: Design) -> None:
    nearest = target.nearest(design)
    assert target.misfits(nearest) == []
    misfits = target.misfits(design)
    if not misfits:
        assert nearest == design
        target.check(design)
        return
    with pytest.raises(InputError) as refusal:
        target.export(design)
    assert str(nearest) in str(refusal.value)
    assert "\n" not in str(refusal.value)
    for misfit in misfits:
        assert misfit.reason in str(refusal.value)


def test_is_deterministic_and_names_the_design(target: Exporter) -> None:
    design, files = expressible(target), files_of(target)
    again = target.export(design, ORIGIN)
    assert again.keys() == files.keys()
    assert texts_of(again) == texts_of(files)
    assert str(design) in texts_of(files)
    assert design.id in texts_of(files)


def test_says_where_the_design_comes_from(target: Exporter) -> None:
    for word in ("coco-tsb", "17", "mIoU", "0.4321", "seeds", "cpu"):
        assert word in texts_of(files_of(target))


def test_writes_nothing_over_existing_files(target: Exporter, tmp_path) -> None:
    files = files_of(target)
    last = tmp_path / list(files)[-1]
    last.write_text("mine")
    with pytest.raises(InputError, match="--force"):
        write_files(files, tmp_path)
    assert last.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == [last]
    write_files(files, tmp_path, force=True)
    for name, content in files.items():
        written = (tmp_path / name).read_bytes()
        assert written == (content.encode() if isinstance(content, str) else content)


def test_takes_no_unknown_option(target: Exporter) -> None:
    with pytest.raises(InputError, match="'colour'"):
        exporter(target.name, colour="red")


def test_unknown_target() -> None:
    with pytest.raises(InputError, match="official-detection"):
        exporter("official-detecton")


def test_unwritable_folder_is_bad_input(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        write_files({"a.txt": "a"}, tmp_path / "file" / "below")


def test_leaves_no_temporary_file(tmp_path) -> None:
    write_files({"a.txt": "a", "b/c.bin": b"\0"}, tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.txt", "b", "c.bin"]

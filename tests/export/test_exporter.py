"""The contract that every export target fulfils."""

from __future__ import annotations

from functools import cache

import pytest

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export import TARGETS, Exporter, Files, exporter, write_files
from piip_explore.testing.exporters import ExporterContract
from tests.export.samples import ALL

TRACED = ("torch-export", "onnx")
"""Targets whose files take PyTorch a dozen seconds."""


@cache
def files_by_name(name: str) -> Files:
    return ExporterContract.files_of(exporter(name))


class TestEveryTarget(ExporterContract):
    @pytest.fixture(params=[pytest.param(name, marks=[pytest.mark.slow] if name in TRACED else []) for name in TARGETS])
    def target(self, request: pytest.FixtureRequest) -> Exporter:
        if request.param == "onnx":
            pytest.importorskip("onnxscript", reason="ONNX is written by onnx and onnxscript; they are not installed")
        return exporter(request.param)

    @pytest.fixture(params=ALL, ids=str)
    def design(self, request: pytest.FixtureRequest) -> Design:
        return request.param

    @staticmethod
    def files_of(target: Exporter) -> Files:
        return files_by_name(target.name)

    def test_has_its_tables_name(self, target: Exporter) -> None:
        assert exporter(target.name) == target

    def test_takes_no_unknown_option(self, target: Exporter) -> None:
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

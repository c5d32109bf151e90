"""The contract of an export target."""

from __future__ import annotations

from pathlib import Path

import pytest

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export import Exporter, Files, Origin, write_files

SMALL = Design.parse("vit[depth=1,dim=32,heads=2]@64 vit[depth=1,dim=64,heads=2]@32; interactions=1; heads=2")
ORIGIN = Origin("coco-tsb", 17, {"mIoU": 0.4321}, {"task": "dense", "seeds": 3, "device": "cpu"})


class ExporterContract:
    """Tests of export targets: override the fixture `target`, and `design` by designs of all kinds."""

    @pytest.fixture
    def target(self) -> Exporter:
        """Return the target under test."""
        raise NotImplementedError

    @pytest.fixture
    def design(self) -> Design:
        """Return a design that the target may or may not express."""
        return SMALL

    @staticmethod
    def files_of(target: Exporter) -> Files:
        """Return the files of a small design with its origin; a subclass may make them once for all tests."""
        return target.export(target.nearest(SMALL), ORIGIN)

    def test_expresses_or_refuses_with_the_nearest_it_can(self, target: Exporter, design: Design) -> None:
        """Nothing is changed silently: a refusal is one sentence with every reason and what could be exported."""
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
        assert all(misfit.reason in str(refusal.value) for misfit in misfits)

    def test_is_deterministic_and_names_the_design(self, target: Exporter) -> None:
        """The same design gives the same files, which hold its text and its id."""
        small = target.nearest(SMALL)
        files, again = self.files_of(target), target.export(small, ORIGIN)
        assert again.keys() == files.keys()
        assert _texts(again) == _texts(files)
        assert str(small) in _texts(files)
        assert small.id in _texts(files)

    def test_says_where_the_design_comes_from(self, target: Exporter) -> None:
        """Study, trial, scores and what they depend on are in a file."""
        texts = _texts(self.files_of(target))
        for word in ("coco-tsb", "17", "mIoU", "0.4321", "seeds", "cpu"):
            assert word in texts

    def test_writes_nothing_over_existing_files(self, target: Exporter, tmp_path: Path) -> None:
        """One file in the way stops all of them, unless that is wanted."""
        files = self.files_of(target)
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


def _texts(files: Files) -> str:
    return "".join(content for content in files.values() if isinstance(content, str))

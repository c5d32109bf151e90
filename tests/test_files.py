"""Files are written whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from piip_explore.files import write_whole


def test_writes_a_new_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_whole(path, lambda partial: partial.write_text("new"))
    assert path.read_text() == "new"
    assert os.listdir(path.parent) == ["file.txt"]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("old")

    def write(partial: Path) -> None:
        assert partial.parent == path.parent
        assert partial.suffix == ".csv"  # for writers that go by it
        partial.write_text("ne")
        assert path.read_text() == "old"
        partial.write_text("new")

    write_whole(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failed_write_leaves_nothing_behind(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write(partial: Path) -> None:
        partial.write_text("half")
        raise error

    with pytest.raises(error):
        write_whole(path, write)
    assert os.listdir(tmp_path) == ["file.txt"]
    assert path.read_text() == "old"


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_whole(tmp_path / "file", lambda partial: partial.write_bytes(b""))
    finally:
        os.umask(mask)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640

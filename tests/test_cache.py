"""What is read from the cache is what was written, or nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from piip_explore import cache
from piip_explore.errors import InputError
from tests.damage import damaged


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "room" / "file"
    assert cache.read(path, "key") is None
    for content in (b"", b"content", bytes(range(256)) * 100, b"\n\n"):
        cache.write(path, "key", content)
        assert cache.read(path, "key") == content
    assert [file.name for file in path.parent.iterdir()] == ["file"]


def test_every_flipped_bit_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    cache.write(path, "key", b"0123456789abcdef\n")
    bits = 8 * path.stat().st_size
    assert [cache.read(path, "key") for _ in damaged(path, bits)] == [None] * (bits + 5)


def test_a_file_under_another_name_is_not_believed(tmp_path: Path) -> None:
    cache.write(tmp_path / "one", "one", b"content")
    (tmp_path / "one").rename(tmp_path / "two")
    assert cache.read(tmp_path / "two", "two") is None
    cache.write(tmp_path / "three", "ab", b"c")
    assert cache.read(tmp_path / "three", "a") is None  # nor does a key run into its content


def test_a_folder_in_the_place_of_a_file_is_no_content(tmp_path: Path) -> None:
    assert cache.read(tmp_path, "key") is None


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path / "own"))
    assert cache.folder() == tmp_path / "own"
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", "~/mine")
    assert cache.folder() == tmp_path / "mine"
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(InputError, match="PIIP_EXPLORE_CACHE=~nobody-of-this-name/cache: there is no such home folder"):
        cache.folder()
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.folder() == tmp_path / "xdg" / "piip-explore"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.folder() == tmp_path / ".cache" / "piip-explore"


def test_without_a_home_there_is_a_folder_still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIIP_EXPLORE_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "")
    assert cache.folder().is_absolute()
    assert cache.folder() != Path("/.cache/piip-explore")  # what "~/.cache" is where HOME is empty
    import pwd

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    assert cache.folder() == tmp_path / "piip-explore"

"""What files hold, under one name."""

import os

import pytest

from piip_explore.datasets import content
from piip_explore.datasets.content import content_hash
from piip_explore.errors import InputError


@pytest.mark.parametrize("settled", [True, False])
def test_a_change_of_equal_size_and_time_is_seen(settled, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "_SETTLED", -1e9 if settled else 1e9)
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    before = path.stat()
    first = content_hash([path])
    assert content_hash([path]) == first
    while True:  # until the file system's clock has moved on
        path.write_bytes(b"new")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        if path.stat().st_ctime_ns != before.st_ctime_ns:
            break
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert content_hash([path]) != first


def test_a_file_that_stays_is_read_once(tmp_path, monkeypatch):
    monkeypatch.setattr(content, "_SETTLED", -1e9)
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    first = content_hash([path])
    monkeypatch.setattr(content.hashlib, "file_digest", None)  # reading again would fail
    assert content_hash([path]) == first


def test_names_and_order_count_and_the_place_does_not(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place / "cat").mkdir(parents=True)
        for name in "ab":
            (tmp_path / place / "cat" / name).write_bytes(b"same")
    here, there = ([tmp_path / place / "cat" / name for name in "ab"] for place in ("here", "there"))
    assert content_hash(here) == content_hash(there)
    assert len({content_hash(here), content_hash(here[::-1]), content_hash(here[:1])}) == 3


@pytest.mark.parametrize("name", ["gone", "a\0b"])
def test_what_is_not_there_is_named(name, tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        content_hash([tmp_path / name])

"""A name for code changes with the code, and with nothing else."""

from pathlib import Path

import pytest

from piip_explore import code_hash as module
from piip_explore.code_hash import code_hash


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "room").mkdir()
    for name in ("one.py", "room/two.py", "room/notes.txt"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(module, "__file__", str(tmp_path / "code_hash.py"))
    code_hash.cache_clear()
    yield tmp_path
    code_hash.cache_clear()


def hashes(*arguments: str, **options: object) -> str:
    code_hash.cache_clear()
    return code_hash(*arguments, **options)


def test_it_follows_the_sources_and_the_libraries(package, monkeypatch):
    before = hashes("one.py", "room", libraries=("torch",))
    assert len(before) == 12
    (package / "room/notes.txt").write_text("other")
    (package / "three.py").write_text("not asked about")
    assert hashes("one.py", "room", libraries=("torch",)) == before
    (package / "room/two.py").rename(package / "room/second.py")
    renamed = hashes("one.py", "room", libraries=("torch",))
    (package / "one.py").write_text("other")
    changed = hashes("one.py", "room", libraries=("torch",))
    monkeypatch.setattr(module.metadata, "version", lambda name: "0.1")
    other_library = hashes("one.py", "room", libraries=("torch",))
    assert len({before, renamed, changed, other_library}) == 4


def test_a_source_that_is_missing_is_an_error(package: Path):
    with pytest.raises(FileNotFoundError):
        hashes("gone.py")

"""Files are written whole or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from piip_explore import files
from piip_explore.errors import InputError
from piip_explore.files import exclusive, write_whole


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


def test_a_file_is_on_the_disk_before_it_takes_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    sync, replace = os.fsync, os.replace

    def note_sync(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        sync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        done.append("moved")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_whole(tmp_path / "file", lambda partial: partial.write_text("new"))
    assert done == ["file", "moved", "folder"]


def test_a_disk_that_fails_to_keep_a_file_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("old")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        write_whole(tmp_path / "file", lambda partial: partial.write_text("new"))
    assert (tmp_path / "file").read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_system_that_cannot_sync_is_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    write_whole(tmp_path / "file", lambda partial: partial.write_text("new"))
    assert (tmp_path / "file").read_text() == "new"


HOLD = """
import sys, pathlib
from piip_explore.files import exclusive
with exclusive(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_lock_excludes_other_processes_and_dies_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    entered = threading.Event()

    def enter() -> None:
        with exclusive(path):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.3)
    holder.kill()
    holder.wait()
    assert entered.wait(60)
    waiting.join()


def test_a_child_that_inherits_a_lock_holds_it(tmp_path: Path) -> None:
    with exclusive(tmp_path / "lock") as lock:
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock])

    def end() -> None:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait() == 0

    with exclusive(tmp_path / "lock", end):
        assert child.returncode == 0


def test_who_waits_for_a_lock_is_heard_and_may_give_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_POLL_SECONDS", 0.01)
    calls = []

    def give_up() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise OSError(errno.ENOLCK, "of the one who waits")

    with exclusive(tmp_path / "lock"):
        with pytest.raises(OSError, match="of the one who waits"), exclusive(tmp_path / "lock", give_up):
            pytest.fail("entered a lock that another holds")
        assert len(calls) == 3
    with exclusive(tmp_path / "lock", give_up):
        pass


def test_a_lock_is_free_after_an_error(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyError), exclusive(tmp_path / "lock"):
            raise KeyError


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSYS, "without locks: choose"), (errno.ENOLCK, "without locks: choose"), (errno.EIO, "cannot lock")],
)
def test_where_no_lock_can_be_taken_one_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    import fcntl

    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(InputError, match=words), exclusive(tmp_path / "lock"):
        pytest.fail("entered without a lock")


def test_a_lock_in_a_place_that_is_a_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write"), exclusive(tmp_path / "file" / "lock"):
        pytest.fail("entered without a lock")

"""What only the journal file does: torn lines, damaged files, locks of killed processes."""

import json
import math
import os
import resource
import signal
import subprocess
import sys

import optuna
import pytest

from piip_explore.errors import InputError
from piip_explore.search.storage import (
    COMPLETE,
    RUNNING,
    WAITING,
    NewTrial,
    StudyStorage,
    WaitEndedError,
    journalfile,
    patience,
)

DIRECTIONS = ("maximize", "minimize")
TRIAL = NewTrial({"model": "a"}, {"model": ["a", "b"]})


@pytest.fixture
def path(tmp_path):
    return tmp_path / "studies" / "demo.journal"


def finished(path, count):
    store = StudyStorage(path, "demo", DIRECTIONS)
    for number in range(count):
        store.create(TRIAL, RUNNING)
        store.finish(number, COMPLETE, [float(number), 1.0], {})
    return store


@pytest.mark.parametrize("torn", [b'{"op_code":6,"trial_id":0,"val', b'{"op', b'{"op_code":4}\0\0\0\0', b"\0\0\0"])
def test_a_torn_line_is_cut_off_before_the_next_and_the_file_kept(path, torn):
    finished(path, 2)
    before = path.read_bytes()
    path.write_bytes(before + torn)
    store = StudyStorage(path, "demo", DIRECTIONS)
    assert store.table.state == [COMPLETE] * 2
    assert path.read_bytes() == before + torn, "reading repairs nothing"
    store.create(TRIAL, WAITING)
    assert path.with_name("demo.journal.torn").read_bytes() == torn + b"\n"
    assert path.read_bytes().startswith(before + b'{"op_code":4')
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    assert len(optuna.load_study(study_name="demo", storage=optuna.storages.JournalStorage(backend)).trials) == 3


def test_every_torn_line_is_kept(path):
    finished(path, 1)
    for torn in (b'{"op_code":4,"stu', b'{"op_code":6'):
        with path.open("ab") as file:
            file.write(torn)
        StudyStorage(path, "demo", DIRECTIONS).create(TRIAL, WAITING)
    assert path.with_name("demo.journal.torn").read_bytes() == b'{"op_code":4,"stu\n{"op_code":6\n'


@pytest.mark.parametrize(
    "content",
    [b"hello", b"hello\nworld\n", b"SQLite format 3\0\0\0\n", b"{}\n", b"[1]\n", b'{"op_code":4}\n', b"\xff\n"],
)
@pytest.mark.parametrize("directions", [None, DIRECTIONS])
def test_a_file_that_is_no_journal_is_refused_and_untouched(path, content, directions):
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a readable study file \(line 1"):
        StudyStorage(path, "demo", directions)
    assert path.read_bytes() == content
    assert os.listdir(path.parent) == [path.name]


def test_damage_inside_the_file_names_its_line(path):
    finished(path, 2)
    lines = path.read_bytes().split(b"\n")
    lines[3] = lines[3][:20] + lines[4]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(InputError, match="line 4 is no"):
        StudyStorage(path, "demo")


def test_a_missing_file_is_an_error_and_is_not_created(path):
    with pytest.raises(InputError, match="there is no study file"):
        StudyStorage(path, "demo")
    assert not path.parent.exists()


@pytest.mark.parametrize("where", ["file/demo.journal", "/proc/nope/demo.journal", "/proc/demo.journal"])
def test_a_place_that_cannot_be_written_is_one_clear_sentence(tmp_path, where):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=f"cannot write the study file '.*{where}': "):
        StudyStorage(tmp_path / where, "demo", DIRECTIONS)


def test_a_full_disk_is_one_clear_sentence_and_costs_nothing_that_was_written(path):
    store = finished(path, 2)
    path.write_bytes(path.read_bytes() + b'{"op_c')
    before, soft = path.stat().st_size, resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before + 10, soft[1]))
        for _ in range(3):
            with pytest.raises(InputError, match=r"cannot write the study file '.*demo\.journal': File too large"):
                StudyStorage(path, "demo").create(TRIAL, RUNNING)
            assert path.stat().st_size == before - 6, "what was written of a line is taken back"
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, soft)
        signal.signal(signal.SIGXFSZ, ignored)
    assert StudyStorage(path, "demo").table.state == [COMPLETE] * 2
    store.create(TRIAL, RUNNING)
    assert StudyStorage(path, "demo").table.state == [COMPLETE, COMPLETE, RUNNING]


def test_a_live_reader_notices_that_the_file_was_cut(path):
    store = finished(path, 3)
    data = path.read_bytes()
    path.write_bytes(data[:-30])
    assert store.refresh() is None
    assert store.table.state == [COMPLETE, COMPLETE, RUNNING]
    store.finish(2, COMPLETE, [9.0, 1.0], {})
    assert StudyStorage(path, "demo").table.values[2] == [9.0, 1.0]


def test_a_live_reader_notices_that_the_file_was_replaced(path):
    store = finished(path, 3)
    copy = path.with_name("copy")
    lines = path.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b"".join(lines[:-1]) + b" " * 200 + lines[-1])
    os.replace(copy, path)
    assert store.refresh() is None
    assert store.table.state == [COMPLETE] * 3


HOLDER = """
import sys, time
from pathlib import Path
from piip_explore.search.storage import journalfile, StudyStorage
path = Path(sys.argv[1])
store = StudyStorage(path, "demo")
store.join("aaa")
with store.lock(), journalfile._optuna_lock(path):
    print("ready", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(path):
    """A process that holds all locks of a journal and the lease `aaa`."""
    finished(path, 1)
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        yield process
        process.kill()


def test_locks_and_leases_of_a_killed_process_are_free_at_once(path, holder, monkeypatch):
    monkeypatch.setattr(journalfile, "_OPTUNA_GRACE_SECONDS", float("inf"))  # what is not free at once never is
    store = StudyStorage(path, "demo")
    assert store.alive("aaa")
    holder.kill()
    holder.wait()
    with store.lock():
        store.create(TRIAL, WAITING)
    assert not store.alive("aaa")


def other_names(path):
    """The journal under names of its own: what a container gets by a bind mount is the same inode as well."""
    folder = path.parent / "elsewhere"
    folder.mkdir()
    (folder / "linked.journal").symlink_to(path)
    os.link(path, folder / "hard.journal")
    return sorted(folder.iterdir())


def test_two_names_of_a_journal_exclude_each_other(path, holder):
    for name in other_names(path):
        store = StudyStorage(name, "demo")
        assert store.alive("aaa")
        store.patience.limit = 0.0
        with pytest.raises(WaitEndedError, match="another search holds the lock"), store.lock():
            pytest.fail("both hold the lock")


def test_a_stopped_holder_of_the_lock_is_named_and_does_not_hold_up_the_end(path, holder, monkeypatch, caplog):
    monkeypatch.setattr(patience, "QUIET_SECONDS", 0.0)
    holder.send_signal(signal.SIGSTOP)
    store = StudyStorage(path, "demo")
    store.patience.limit = 1.0
    with pytest.raises(WaitEndedError), store.lock():
        pytest.fail("both hold the lock")
    assert f"held by process {holder.pid} (stopped; 'kill -CONT {holder.pid}' continues it): waiting" in caplog.text


def test_words_that_only_pythons_json_takes_are_read(path):
    store = StudyStorage(path, "demo", DIRECTIONS)
    store.create(TRIAL, RUNNING)
    store.set_attributes(0, {"odd": [float("inf"), -float("inf"), "\ud800"], "nan": float("nan")})
    assert b"[Infinity,-Infinity," in path.read_bytes().replace(b" ", b"")
    table = StudyStorage(path, "demo", DIRECTIONS).table
    assert table.attribute("odd", 0) == [float("inf"), -float("inf"), "\ud800"]
    assert math.isnan(table.attribute("nan", 0))


def test_a_deep_line_is_a_clear_sentence(path):
    finished(path, 1)
    with path.open("ab") as file:
        file.write(b'{"op_code":' + b"[" * 100_000 + b"\n")
    with pytest.raises(InputError, match="line 4 is no"):
        StudyStorage(path, "demo")


def test_a_plain_optuna_script_may_write_to_the_same_file(path):
    store = finished(path, 1)
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    study = optuna.load_study(study_name="demo", storage=optuna.storages.JournalStorage(backend))
    study.enqueue_trial({"model": "b"})
    number = store.create(TRIAL, RUNNING)
    assert number == 2
    study.tell(2, [3.0, 4.0])
    store.refresh()
    assert store.table.state == [COMPLETE, WAITING, COMPLETE]
    assert store.table.values[2] == [3.0, 4.0]


def test_a_running_trial_is_not_started_again(path):
    store = StudyStorage(path, "demo", DIRECTIONS)
    store.create(TRIAL, RUNNING)
    store.refresh()
    started = store.table.started[0]
    again = {"op_code": 6, "worker_id": "w", "trial_id": 0, "state": 0, "values": None}
    with path.open("a") as file:
        file.write(json.dumps(again | {"datetime_start": "2001-01-01T00:00:00.000000"}) + "\n")
    assert store.refresh() == set()
    assert started is not None
    assert store.table.started == [started]
    assert StudyStorage(path, "demo").table.started == [started]


def test_every_line_is_one_that_optuna_knows(path):
    finished(path, 1)
    assert {json.loads(line)["op_code"] for line in path.read_bytes().splitlines()} == {0, 4, 6}

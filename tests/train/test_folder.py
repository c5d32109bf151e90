"""The folder of a run: one training at a time, nothing half written, nothing of other settings."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from io import FileIO
from pathlib import Path

import pytest
import torch

from piip_explore.errors import InputError
from piip_explore.train import folder as folders
from piip_explore.train.folder import RunFolder
from tests.damage import damaged


def test_what_a_kill_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".0123abcd.last.pt").write_bytes(b"half")
    (tmp_path / ".mine.last.pt").write_bytes(b"a person's")
    with RunFolder(tmp_path).owned(0):
        pass
    assert {entry.name for entry in tmp_path.iterdir()} == {"locks", ".mine.last.pt"}


def test_rows_are_those_of_the_checkpoint_whatever_became_of_their_file(tmp_path: Path) -> None:
    folder, rows = RunFolder(tmp_path), [{"step": 1, "loss": 2.5}, {"step": 2, "loss": 0.1}]
    folder.save({"settings": {}, "step": 2, "rows": rows})
    for row in rows:
        folder.log(row)
    for _ in damaged(tmp_path / "metrics.jsonl", flips=200):
        loaded = folder.load({})
        assert loaded is not None
        assert loaded["rows"] == rows


def test_rows_beside_a_checkpoint_of_an_earlier_version_end_with_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.save({"settings": {}, "step": 2})
    assert (folder.load({}) or {})["rows"] == []
    for step in (1, 2, 3):
        folder.log({"step": step})
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "lo')
    for _ in damaged(tmp_path / "metrics.jsonl", flips=200):
        for row in (folder.load({}) or {})["rows"]:
            assert row["step"] <= 2
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    assert (folder.load({}) or {})["rows"] == [{"step": 1}, {"step": 2}]


@pytest.mark.parametrize("rank", [0, 3])
def test_a_second_training_is_refused_while_any_process_of_the_first_lives(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "_PATIENCE", 0.3)
    program = "import sys, pathlib, time; from piip_explore.train.folder import RunFolder\n"
    program += "folder = RunFolder(pathlib.Path(sys.argv[1]))\n"
    program += "with folder.owned(int(sys.argv[2])): print('held', flush=True); time.sleep(600)"
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(rank)], stdout=subprocess.PIPE, env=os.environ
    )
    assert other.stdout is not None
    assert other.stdout.readline() == b"held\n"
    try:
        sentence = r"another training is writing to .*: choose another --out"
        with pytest.raises(InputError, match=sentence), RunFolder(tmp_path).owned(0):
            pytest.fail("entered a folder that another training has")
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with RunFolder(tmp_path).owned(0):
        pass


def test_a_checkpoint_of_other_settings_or_of_nothing_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.load({"lr": 1.0}) is None
    folder.save({"settings": {"lr": 1.0, "epochs": 2}, "step": 5})
    loaded = folder.load({"lr": 1.0, "epochs": 2})
    assert loaded is not None
    assert loaded["step"] == 5
    with pytest.raises(InputError, match=r"was trained with epochs 2, not 3: choose another --out"):
        folder.load({"lr": 1.0, "epochs": 3})
    for content in (b"", b"nothing", (tmp_path / "last.pt").read_bytes()[:-200]):
        (tmp_path / "last.pt").write_bytes(content)
        with pytest.raises(InputError, match=r"cannot resume from .*last\.pt.*: remove it to start over"):
            folder.load({})


def test_a_damaged_checkpoint_is_refused_or_says_the_same(tmp_path: Path) -> None:
    folder, path, weights = RunFolder(tmp_path), tmp_path / "last.pt", torch.arange(500.0)
    folder.save({"settings": {}, "step": 5, "rows": [], "weights": weights})
    refused = []
    for _ in damaged(path, flips=400):
        try:
            loaded = folder.load({})
        except InputError as error:
            refused.append(str(error))
        else:
            assert loaded is not None
            assert loaded["step"] == 5
            assert torch.equal(loaded["weights"], weights)
    assert len(refused) > 395
    assert all(sentence.endswith("remove it to start over") for sentence in refused)
    assert sum("its checksum does not match" in sentence for sentence in refused) > 390


def test_other_programs_read_a_checkpoint_and_its_earlier_form_is_read(tmp_path: Path) -> None:
    state = {"settings": {}, "step": 5, "rows": []}
    RunFolder(tmp_path).save(state)
    assert torch.load(tmp_path / "last.pt", weights_only=True) == state
    torch.save(state, tmp_path / "last.pt")
    assert RunFolder(tmp_path).load({}) == state


def test_metrics_that_are_damaged_are_not_those_of_the_run(tmp_path: Path) -> None:
    folder, content = RunFolder(tmp_path), b'{"step": 5, "score": 23.25}\n'
    assert not folder.holds("metrics.json", content)
    folder.write("metrics.json", content)
    assert folder.holds("metrics.json", content)
    assert not any(folder.holds("metrics.json", content) for _ in damaged(tmp_path / "metrics.json", 8 * len(content)))


def test_a_checkpoint_that_does_not_fit_on_the_disk_is_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "FileIO", lambda path, mode: FileIO("/dev/full", mode))
    with pytest.raises(OSError, match="No space left"):
        RunFolder(tmp_path).save({"settings": {}, "step": 5, "weights": torch.zeros(100_000)})
    assert not list(tmp_path.iterdir())

"""The throughput benchmark: a failed child shows its traceback and costs its own row only."""

import subprocess

import pytest

from benchmarks import proxy_throughput, records

SCORE = {
    "status": "ok",
    "metric": "mIoU",
    "value": 1.0,
    "seconds": 2.0,
    "peak_memory": 2**30,
    "details": {"samples per second": 5.0},
    "conditions": {"preset_hash": "abc", "device": "cpu", "backend": "torch"},
}


def test_designs_are_chosen_by_how_they_begin_and_measured_once(monkeypatch, tmp_path, capsys):
    ran = []

    def run(design, *rest):
        ran.append((design, *rest))
        if design == proxy_throughput.DESIGNS["TSB 1120/896/448"]:
            raise subprocess.CalledProcessError(1, "python")
        return 3.0, SCORE

    monkeypatch.setattr(proxy_throughput, "run", run)
    command = ["--designs", "demo space, smallest", "--designs", "TSB", "--out", str(tmp_path)]
    assert proxy_throughput.main([*command, "--limit", "0"]) == records.UNFINISHED
    assert proxy_throughput.main(command) == 1
    out = capsys.readouterr()
    assert "TSB 1120/896/448: the run failed with status 1; its traceback is above" in out.err
    table = records.Table(tmp_path / "proxy-throughput-demo.csv", ["design"])
    assert [(row["design"], row["runs per hour"]) for row in table.rows] == [("demo space, smallest", "1200.0")]
    assert len(ran) == 3
    assert proxy_throughput.main(command[:2] + command[4:]) == 0
    assert len(ran) == 3
    assert proxy_throughput.main(["--designs", "XXL", "--out", str(tmp_path)]) == 2


def test_a_childs_traceback_reaches_us(monkeypatch, capfd):
    monkeypatch.setattr(proxy_throughput, "RUN", "raise ValueError('why it failed')")
    with pytest.raises(subprocess.CalledProcessError):
        proxy_throughput.run("a", "b", "cpu", 1.0, False)
    assert "ValueError: why it failed" in capfd.readouterr().err

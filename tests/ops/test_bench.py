"""The benchmark's own arithmetic, on a CPU: the form it compares with, and the figures of a row."""

import csv
import dataclasses
import json

import pytest
import torch
from click.testing import CliRunner

from benchmarks import kernel, records
from piip_explore.cli.kernel import command
from piip_explore.ops import bench, check, deformable_attention

CPU = torch.device("cpu")
TINY = bench.Shape("tiny", 2, (4, 5), (6, 3), 6)


def test_grid_sample_form_computes_the_operator():
    value, offsets, logits, _ = bench._inputs(TINY, torch.float64, CPU)
    ours = deformable_attention(value, offsets, logits, TINY.key_grid, TINY.query_grid)
    theirs = bench.grid_sample_form(value, offsets, logits, TINY.key_grid, TINY.query_grid)
    assert check.relative_error(theirs, ours) < 1e-6


def test_a_row_counts_the_least_traffic():
    row = bench.measure(TINY, torch.float32, CPU, "torch", copy=1e9)
    # value 2*18*96, offsets 2*20*16*4*2, logits half of that, output 2*20*96 float32
    traffic = 4 * (2 * 18 * 96 + 2 * 20 * 128 + 2 * 20 * 64 + 2 * 20 * 96)
    assert row.bandwidth * row.forward == pytest.approx(traffic)
    assert row.forward_over_copy == pytest.approx(row.bandwidth / 1e9)
    assert row.both > row.forward


def test_shapes_are_those_of_the_published_pairs():
    widths = {shape.name: shape.width for shape in bench.shapes(torch.device("cuda"))}
    assert widths["B@1120 reads S@1568"] == 24
    assert widths["S@1568 reads B@1120"] == 12
    assert widths["6B@512 reads H@1024"] == 100


def test_command_prints_the_backend_and_the_check():
    result = CliRunner().invoke(command, ["--check", "--device", "cpu", "--json"])
    assert result.exit_code == 0, result.output
    report = json.loads(result.output)
    assert report["environment"]["backend"] == "torch"
    assert [row["dtype"] for row in report["check"] if row["passed"]] == ["float32", "float16", "bfloat16"]


def test_command_fails_where_the_check_does(monkeypatch):
    monkeypatch.setitem(check.TOLERANCES, "bfloat16", 1e-6)
    result = CliRunner().invoke(command, ["--check", "--device", "cpu"])
    assert result.exit_code == 1
    assert "FAILED, worst: Case(" in result.output


def test_command_prints_each_row_of_the_table(monkeypatch):
    monkeypatch.setattr(bench, "shapes", lambda device: [TINY])
    result = CliRunner().invoke(command, ["--bench", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    heading, row, legend = result.output.splitlines()[-3:]
    assert heading.split()[:3] == ["queries", "read", "keys"]
    assert row.split()[:4] == ["tiny", "2", "6", "float32"]
    assert len(row) == len(heading)
    assert "grid_sample" in legend


def test_the_benchmark_measures_row_by_row_and_nothing_twice(monkeypatch, tmp_path, capsys):
    command = ["--device", "cpu", "--toy", "--out", str(tmp_path)]
    assert kernel.main([*command, "--limit", "0"]) == records.UNFINISHED
    assert kernel.main(command) == 0
    (checked,) = tmp_path.glob("kernel-check-*.csv")
    (timed,) = set(tmp_path.glob("kernel-*.csv")) - {checked}
    rows = list(csv.DictReader(checked.open()))
    assert [row["passed"] for row in rows] == ["True"] * 3
    (row,) = csv.DictReader(timed.open())
    assert (row["shape"], row["dtype"], row["torch"]) == ("toy", "float32", torch.__version__)
    before = timed.read_bytes(), checked.read_bytes()
    monkeypatch.setattr(bench, "measure", None)
    monkeypatch.setattr(check, "errors", None)
    assert kernel.main(command) == 0
    assert (timed.read_bytes(), checked.read_bytes()) == before
    (timing,) = kernel.timings(records.Table(timed, []), {"torch": torch.__version__})
    assert timing.forward == float(row["forward"])


def test_a_check_that_fails_fails_the_benchmark(monkeypatch, tmp_path):
    command = ["--device", "cpu", "--toy", "--only", "check", "--out", str(tmp_path)]
    monkeypatch.setitem(check.TOLERANCES, "bfloat16", 1e-6)
    assert kernel.main(command) == 1
    assert kernel.main(command) == 1  # from the table too


def test_targets_are_those_of_one_pair_and_of_all_shapes():
    times = {"forward": 50e-6, "both": 300e-6, "forward_speedup": 6.0, "both_speedup": 6.0}
    memory = {"extra_bytes": 1, "extra_limit": 2}
    rest = {"batch": 2, "width": 24, "backend": "triton", "bandwidth": 1e12, "forward_over_copy": 0.2}
    pair = [bench.Timing(name, dtype="bfloat16", **rest, **times, **memory) for name in kernel.TARGET_PAIR]
    assert all(kernel.targets(pair).values())
    slow = dataclasses.replace(pair[0], shape="other", forward=1.0, forward_speedup=0.9)
    missed = [name for name, met in kernel.targets([*pair, slow]).items() if not met]
    assert missed == ["no shape slower than grid_sample"]
    late = dataclasses.replace(pair[1], forward=61e-6)
    assert [name for name, met in kernel.targets([pair[0], late]).items() if not met] == ["forward <= 60 us"]


def test_the_target_pair_is_benchmarked():
    """A pair that no shape is called would make every target met."""
    assert set(kernel.TARGET_PAIR) <= {shape.name for shape in bench.shapes(torch.device("cuda"))}

"""The benchmark's own arithmetic, on a CPU: the form it compares with, and the figures of a row."""

import json

import pytest
import torch
from click.testing import CliRunner

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

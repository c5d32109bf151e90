"""`piip-explore enumerate`: all designs of a space with their costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from piip_explore.latency import DeviceProfile

_BEST = 5
"""Designs of the highest expected metric that are shown."""


@click.command("enumerate")
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--max-gflops", type=float, help="Keep designs up to this many GFLOPs under the accounting.")
@click.option(
    "--accounting", type=click.Choice(["published", "built"]), help="Count by these rules (default: the space's)."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write all rows to this .csv or .parquet file.")
@click.option("--expect", "metric", help="Add the metric that full training is expected to give: box_ap, miou, top1.")
@click.option("--latency", "profile", metavar="PROFILE", help="Add the latency predicted from this device profile.")
@click.option("--max-latency-ms", metavar="MS@PROFILE", help="Keep designs predicted to take at most this, as 25@h100.")
@click.option("--max-train-gb", metavar="GB@BATCH", help="Keep designs that train within this memory, as 24@16.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    space: Path,
    max_gflops: float | None,
    accounting: str | None,
    out: Path | None,
    metric: str | None,
    profile: str | None,
    max_latency_ms: str | None,
    max_train_gb: str | None,
    as_json: bool,
) -> None:
    """Count every design of SPACE: how many there are and what they cost.

    SPACE is a YAML file, or the name of a space that `piip-explore spaces` lists.

    A file has the columns branch_1, branch_2, ..., options, macs, params, and activations, moved, kept and peak
    (elements, as built; docs/accounting.md); an existing file is never overwritten. --expect adds expected,
    expected_low and expected_high: what `piip-explore predict` says of a design, empty for one unlike any published
    row. --latency adds latency_ms, the prediction, and latency_error_ms, how far predictions are off on average.
    """
    from piip_explore.cost import table_files
    from piip_explore.latency import enumerate_space, load
    from piip_explore.space import SearchSpace

    if out is not None:
        table_files.check(out)
    loaded = SearchSpace.load(space)
    table = enumerate_space(loaded, accounting, max_gflops, max_latency_ms, max_train_gb)
    expected = None if metric is None else _expected(table, metric)
    device = None if profile is None else load(profile)
    latency = {} if device is None else _latency(table, device)
    if out is not None:
        table_files.write(table, out, {**(expected or {}), **latency})
    summary = _summary(loaded, table, out)
    if device is not None:
        summary |= _fastest(table, latency, device)
    if expected is not None:
        summary |= {"metric": metric, "highest_expected": _highest(table, expected)}
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(f"{loaded.name}: {summary['designs']:,} designs of {summary['space_size']:,} are within the limits")
    click.echo(f"\n{'cheaper':>8} {'GFLOPs':>14} {'M params':>11}  design ({summary['accounting']} accounting)")
    for entry in summary["along_gflops"]:
        gflops, mparams = entry["macs"] / 1e9, entry["params"] / 1e6
        click.echo(f"{100 * entry['cheaper']:>6.0f} % {gflops:>14,.3f} {mparams:>11,.3f}  {entry['design']}")
    if metric is not None:
        _show_highest(metric, summary["highest_expected"])
    if device is not None:
        low, high = summary["latency_ms"]
        click.echo(f"\nLatency from {low:.4g} to {high:.4g} ms; fastest: {summary['fastest']}")
        click.echo(f"  {summary['latency_conditions']}")
    click.echo(f"\nM params from {summary['mparams'][0]:,.3f} to {summary['mparams'][1]:,.3f}")
    if out is not None:
        click.echo(f"written to {out}")


def _expected(table: Any, metric: str) -> Any:
    from piip_explore import predict

    frame = predict.columns(table.columns, metric)
    return {name: frame[name].to_numpy(float) for name in frame}


def _latency(table: Any, device: DeviceProfile) -> dict[str, Any]:
    milliseconds = 1e3 * device.model.column(table.columns)
    return {"latency_ms": milliseconds, "latency_error_ms": device.error.mape * milliseconds}


def _fastest(table: Any, latency: dict[str, Any], device: DeviceProfile) -> dict[str, Any]:
    milliseconds = latency["latency_ms"]
    return {
        "latency_ms": [float(milliseconds.min()), float(milliseconds.max())],
        "fastest": str(table.design(int(milliseconds.argmin()))),
        "latency_conditions": device.conditions_text(),
    }


def _highest(table: Any, expected: Any) -> list[dict[str, Any]]:
    """Return the designs of the highest expected metric."""
    import numpy as np

    told = np.flatnonzero(~np.isnan(expected["expected"]))
    best = told[np.argsort(-expected["expected"][told], kind="stable")[:_BEST]]
    return [
        {name: float(values[row]) for name, values in expected.items()}
        | {"macs": int(table.macs[row]), "params": int(table.params[row]), "design": str(table.design(int(row)))}
        for row in best
    ]


def _show_highest(metric: str, highest: list[dict[str, Any]]) -> None:
    from piip_explore.predict import METRICS, USUAL, none_predicted

    if not highest:
        click.echo(f"\n{none_predicted(metric)}")
        return
    click.echo(
        f"\n{METRICS[metric]:>8} {'in 80 %':>14} {'GFLOPs':>11}  highest expected ({USUAL[metric]}; not measured)"
    )
    for entry in highest:
        interval = f"{entry['expected_low']:.1f} to {entry['expected_high']:.1f}"
        click.echo(f"{entry['expected']:>8.1f} {interval:>14} {entry['macs'] / 1e9:>11,.3f}  {entry['design']}")


def _summary(space: Any, table: Any, out: Path | None) -> dict[str, Any]:
    import numpy as np

    shares = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    ranks = [round(share * (len(table) - 1)) for share in shares]
    order = np.argpartition(table.macs, sorted(set(ranks)))
    along: list[dict[str, Any]] = [
        {
            "cheaper": share,
            "macs": int(table.macs[order[rank]]),
            "params": int(table.params[order[rank]]),
            "design": str(table.design(int(order[rank]))),
        }
        for share, rank in zip(shares, ranks, strict=True)
    ]
    return {
        "space": space.name,
        "space_size": space.size,
        "designs": len(table),
        "accounting": table.accounting,
        "gflops": [along[0]["macs"] / 1e9, along[-1]["macs"] / 1e9],
        "mparams": [int(table.params.min()) / 1e6, int(table.params.max()) / 1e6],
        "along_gflops": along,
        "out": None if out is None else str(out),
    }

"""`piip-explore enumerate`: all designs of a space with their costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click


@click.command("enumerate")
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--max-gflops", type=float, help="Keep designs of at most so many GFLOPs under the accounting.")
@click.option(
    "--accounting", type=click.Choice(["published", "built"]), help="Count by these rules (default: the space's)."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write all rows to this .csv or .parquet file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(space: Path, max_gflops: float | None, accounting: str | None, out: Path | None, as_json: bool) -> None:
    """Count every design of SPACE, a YAML file: how many there are and what they cost.

    A file has the columns branch_1, branch_2, ..., options, macs and params; a file that exists is never overwritten.
    """
    from piip_explore.cost import files
    from piip_explore.cost.table import enumerate_space
    from piip_explore.space import SearchSpace

    if out is not None:
        files.check(out)
    loaded = SearchSpace.load(space)
    table = enumerate_space(loaded, accounting, max_gflops)
    if out is not None:
        files.write(table, out)
    summary = _summary(loaded, table, out)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(f"{loaded.name}: {summary['designs']:,} designs of {summary['space_size']:,} are within the limits")
    click.echo(f"\n{'cheaper':>8} {'GFLOPs':>14} {'M params':>11}  design ({summary['accounting']} accounting)")
    for entry in summary["along_gflops"]:
        gflops, mparams = entry["macs"] / 1e9, entry["params"] / 1e6
        click.echo(f"{100 * entry['cheaper']:>6.0f} % {gflops:>14,.3f} {mparams:>11,.3f}  {entry['design']}")
    click.echo(f"\nM params from {summary['mparams'][0]:,.3f} to {summary['mparams'][1]:,.3f}")
    if out is not None:
        click.echo(f"written to {out}")


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

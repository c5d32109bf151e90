"""`piip-explore reproduce`: every published figure beside our count."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from typing import Any

import click


@click.command("reproduce")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(as_json: bool) -> None:
    """Print every published row: printed, counted, difference.

    Exits with status 1 if a row that should be reproduced is not.
    """
    from piip_explore.cost import reproduce

    tables = {
        "PIIP: designs": reproduce.designs(),
        "PIIP-B from scratch: modules": reproduce.scratch_modules(),
        "PIIP-LLaVA: encoders": reproduce.llava(),
    }
    expected = [row for rows in tables.values() for row in rows if not row.reason]
    agreeing = sum(row.agrees for row in expected)
    if as_json:
        listed = {name: [_as_json(row) for row in rows] for name, rows in tables.items()}
        result = {"accounting": "published", "agree": agreeing, "of": len(expected), "llava": reproduce.LLAVA}
        click.echo(json.dumps(result | {"tables": listed}, indent=2))
    else:
        for name, rows in tables.items():
            _print_table(name, [row for row in rows if not row.reason])
        click.echo(f"PIIP-LLaVA counts {reproduce.LLAVA}.\n")
        _print_table("Not reproducible", [row for rows in tables.values() for row in rows if row.reason])
        click.echo(
            f"{agreeing} of {len(expected)} rows agree within {100 * reproduce.TOLERANCE:g} % or the last printed digit"
        )
    if agreeing < len(expected):
        sys.exit(1)


def _print_table(name: str, rows: list[Any]) -> None:
    width = max(len(row.row) for row in rows)
    click.echo(f"{name:<{width}}  {'GFLOPs':>10} {'counted':>12} {'':>8} {'M params':>9} {'counted':>10}")
    for row in rows:
        click.echo(
            f"{row.row:<{width}}  {_number(row.printed_gflops, 'g'):>10} {row.gflops:>12.3f} "
            f"{_number(100 * row.difference, '+.2f', ' %'):>8} {_number(row.printed_mparams, 'g'):>9} "
            f"{row.mparams:>10.2f}{'' if row.agrees or row.reason else '   does not agree'}"
            f"{'  ' + row.reason if row.reason else ''}"
        )
    click.echo("")


def _number(value: float, form: str, unit: str = "") -> str:
    return "-" if math.isnan(value) else f"{value:{form}}{unit}"


def _as_json(row: Any) -> dict[str, Any]:
    values = asdict(row) | {"difference": row.difference}
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in values.items()}

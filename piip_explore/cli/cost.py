"""`piip-explore cost`: FLOPs and parameters of a design, by module."""

from __future__ import annotations

import json
from typing import Any

import click


@click.command("cost")
@click.argument("design")
@click.option("--accounting", type=click.Choice(["published", "built"]), help="Count by these rules (default: both).")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(design: str, accounting: str | None, as_json: bool) -> None:
    """Print what DESIGN (its text form) costs for one image, by module.

    `published` compares with the papers; `built` is what the network that is trained costs. FLOPs are
    multiply-accumulates.
    """
    from piip_explore.cost import ACCOUNTINGS, count, difference
    from piip_explore.design import Design

    parsed = Design.parse(design)
    costs = {name: count(parsed, name) for name in ([accounting] if accounting else ACCOUNTINGS)}
    changes = [] if accounting else difference(parsed)
    if as_json:
        click.echo(json.dumps(_as_json(parsed, costs, changes), indent=2))
        return
    click.echo(f"{parsed}\n{parsed.resolution} x {parsed.resolution} pixels, id {parsed.id}\n")
    _print_modules(costs)
    if changes:
        click.echo("\nFrom published to built:")
        for explanation, macs, params in changes:
            click.echo(f"  {macs / 1e9:+12,.3f} GFLOPs {params / 1e6:+10,.3f} M  {explanation}")


def _print_modules(costs: dict[str, Any]) -> None:
    names = list(dict.fromkeys(name for cost in costs.values() for name in cost.by_module))
    width = max(len(name) for name in (*names, "total"))
    click.echo(" " * width + "".join(f"{name:>26}" for name in costs))
    click.echo(" " * width + "".join(f"{'GFLOPs':>15}{'M params':>11}" for _ in costs))
    for name in names:
        click.echo(f"{name:<{width}}" + "".join(_cells(cost.by_module.get(name)) for cost in costs.values()))
    click.echo(f"{'total':<{width}}" + "".join(_cells((cost.macs, cost.params)) for cost in costs.values()))


def _cells(value: tuple[int, int] | None) -> str:
    if value is None:
        return f"{'-':>15}{'-':>11}"
    return f"{value[0] / 1e9:>15,.3f}{value[1] / 1e6:>11,.3f}"


def _as_json(design: Any, costs: dict[str, Any], changes: list[tuple[str, int, int]]) -> dict[str, Any]:
    head = {"design": str(design), "id": design.id, "resolution": design.resolution}
    by_accounting = {
        name: {
            "accounting": name,
            "macs": cost.macs,
            "params": cost.params,
            "gflops": cost.macs / 1e9,
            "mparams": cost.params / 1e6,
            "by_module": {label: {"macs": macs, "params": params} for label, (macs, params) in cost.by_module.items()},
        }
        for name, cost in costs.items()
    }
    if len(by_accounting) == 1:
        return head | next(iter(by_accounting.values()))
    made_of = [{"change": change, "macs": macs, "params": params} for change, macs, params in changes]
    return head | by_accounting | {"difference": made_of}

"""`piip-explore cost`: FLOPs and parameters of a design, by module."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click


@click.command("cost")
@click.argument("design", nargs=-1, required=True)
@click.option("--accounting", type=click.Choice(["published", "built"]), help="Count by these rules (default: both).")
@click.option("--latency", metavar="PROFILE", help="Predict the latency on the device of this profile.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(design: tuple[str, ...], accounting: str | None, latency: str | None, as_json: bool) -> None:
    """Print what DESIGN (its text form) costs for one image, by module.

    `published` compares with the papers; `built` is what the network that is trained costs. FLOPs are
    multiply-accumulates.
    """
    from piip_explore.cost import ACCOUNTINGS, count, difference, traffic
    from piip_explore.design import Design

    parsed = Design.parse(" ".join(design))
    costs = {name: count(parsed, name) for name in ([accounting] if accounting else ACCOUNTINGS)}
    changes = [] if accounting else difference(parsed)
    elements = traffic(parsed)
    predicted = None if latency is None else _latency(parsed, latency)
    if as_json:
        told = _as_json(parsed, costs, changes, elements)
        click.echo(json.dumps(told if predicted is None else told | {"latency": predicted}, indent=2))
        return
    click.echo(f"{parsed}\n{parsed.resolution} x {parsed.resolution} pixels, id {parsed.id}\n")
    _print_modules(costs)
    click.echo(
        f"\nAs built: {elements.activations / 1e6:,.3f} M activations; "
        f"{elements.moved / 1e6:,.3f} M elements read and written;\n"
        f"training keeps {elements.kept / 1e6:,.3f} M elements; one operator needs up to {elements.peak / 1e6:,.3f} M\n"
        f"Training in fp32 with AdamW takes {_training(parsed)}"
    )
    if predicted is not None:
        click.echo(f"\nLatency: {predicted['ms']:.4g} ms ± {predicted['error_ms']:.2g}\n  {predicted['conditions']}")
        for module, milliseconds in predicted["by_module"].items():
            click.echo(f"  {milliseconds:10.4g} ms  {module}")
    if changes:
        click.echo("\nFrom published to built:")
        for explanation, macs, params in changes:
            click.echo(f"  {macs / 1e9:+12,.3f} GFLOPs {params / 1e6:+10,.3f} M  {explanation}")


def _training(design: Any) -> str:
    from piip_explore.cost import training_memory

    one, two = (training_memory(design, batch) for batch in (1, 2))
    return f"about {one:.3g} GB for one image per step, {two - one:.3g} GB for each more"


def _latency(design: Any, name: str) -> dict[str, Any]:
    from piip_explore.latency import load

    profile = load(name)
    milliseconds = 1e3 * profile.model.seconds(design)
    return {
        "profile": name,
        "ms": milliseconds,
        "error_ms": milliseconds * profile.error.mape,
        "by_module": {module: 1e3 * seconds for module, seconds in profile.model.by_module(design).items() if seconds},
        "conditions": profile.conditions_text(),
    }


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


def _as_json(design: Any, costs: dict[str, Any], changes: list[tuple[str, int, int]], elements: Any) -> dict[str, Any]:
    head = {"design": str(design), "id": design.id, "resolution": design.resolution} | asdict(elements)
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

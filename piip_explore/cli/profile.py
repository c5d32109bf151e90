"""`piip-explore profile`: what a design costs on this machine's devices."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from piip_explore.device import StepTiming


@click.command("profile")
@click.argument("design", nargs=-1, required=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--batch", default=1, show_default=True, help="Images at once.")
@click.option("--dtype", default="float32", show_default=True, help="float32, bfloat16 or float16.")
@click.option("--steps", default=30, show_default=True, help="Maximum number of steps to time.")
@click.option("--forward-only", is_flag=True, help="Do not time training.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    design: tuple[str, ...], device: str, batch: int, dtype: str, steps: int, forward_only: bool, as_json: bool
) -> None:
    """Measure latency, throughput and peak memory of DESIGN (its text form), in the forward pass and in training."""
    from piip_explore.design import Design
    from piip_explore.device import profile

    made = profile(
        Design.parse(" ".join(design)), device=device, batch=batch, dtype=dtype, training=not forward_only, steps=steps
    )
    if as_json:
        click.echo(json.dumps(asdict(made), indent=2))
        return
    click.echo(f"{made.design}\n  {made.device}, batch {made.batch}, {made.dtype}")
    click.echo(
        f"  as built: {made.macs / 1e9:,.3f} GFLOPs, {made.params / 1e6:,.3f} M params, "
        f"{made.activations / 1e6:,.3f} M activations, {made.moved / 1e6:,.3f} M elements moved"
    )
    click.echo(f"  deformable attention: {made.backend} backend; torch {made.torch}")
    for name, timing in (("forward", made.forward), ("training", made.training)):
        if timing is not None:
            click.echo(f"  {name:9s} {_text(timing)}")


def _text(timing: StepTiming) -> str:
    memory = "" if timing.peak_memory is None else f", peak {timing.peak_memory / 2**30:.2f} GiB"
    energy = "" if timing.energy is None else f", {timing.energy:.3g} J"
    return (
        f"median {timing.median * 1e3:.1f} ms, p95 {timing.p95 * 1e3:.1f} ms, "
        f"{timing.throughput:.2f} images/s{memory}{energy} ({timing.steps} steps)"
    )

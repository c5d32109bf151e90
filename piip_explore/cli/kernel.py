"""`piip-explore kernel`: is the deformable-attention operator right and fast on this machine?"""

from __future__ import annotations

import click


@click.command(help="Check and time the deformable-attention kernels on this machine.")
@click.option("--check", is_flag=True, help="Compare outputs and gradients with a float64 reference.")
@click.option("--bench", is_flag=True, help="Time pairs of published branches, beside PyTorch's grid_sample.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--backend", default=None, help="triton or torch; the default follows the device.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(check: bool, bench: bool, device: str, backend: str | None, as_json: bool) -> None:
    """Print the backend in use, and what was asked for; exit 1 where the check fails."""
    import dataclasses
    import json

    from piip_explore.device_name import resolve
    from piip_explore.ops import bench as timing
    from piip_explore.ops import check as checking

    where = resolve(device)
    environment = timing.environment(where, backend)
    report: dict[str, object] = {"environment": environment}
    tell = (lambda text: None) if as_json else click.echo
    tell("\n".join(f"{name:14}{value}" for name, value in environment.items()))
    passed = True
    if check:
        verdicts = checking.check(where, backend)
        passed = all(verdict.passed for verdict in verdicts)
        report["check"] = [dataclasses.asdict(verdict) | {"passed": verdict.passed} for verdict in verdicts]
        tell("\n" + checking.format_table(verdicts))
    if bench:
        rows = []
        tell("\n" + timing.HEADING)
        for row in timing.table(where, backend):
            rows.append(dataclasses.asdict(row))
            tell(timing.format_row(row))
        tell(timing.LEGEND)
        report["bench"] = rows
    if as_json:
        click.echo(json.dumps(report, indent=2))
    if not passed:
        raise click.exceptions.Exit(1)

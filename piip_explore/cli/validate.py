"""`piip-explore validate`: how well a proxy preset ranks published designs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--preset", default="cpu-supernet", show_default=True, help="The proxy recipe to judge.")
@click.option(
    "--tables",
    default="table-1,table-2,merge-ablation,pyramid-ablation,interaction-ablation",
    show_default=True,
    help="Published tables to train.",
)
@click.option("--rows", type=click.Path(path_type=Path), help="Train these rows instead: a CSV like designs.csv.")
@click.option("--seeds", default=2, show_default=True, type=click.IntRange(1, 100), help="Runs per design.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for all runs; a killed validation resumes from it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the statistics as JSON.")
def command(
    preset: str, tables: str, rows: Path | None, seeds: int, device: str, out: Path | None, as_json: bool
) -> None:
    """Train published designs on a proxy and compare its ranking with theirs, and with cheap predictors'.

    Detection rows that were counted with a linear merge are trained with the convolutional one, as the paper did. The
    last lines say whether the proxy beats FLOPs, parameters and a regression beyond noise.
    """
    from piip_explore import proxy
    from piip_explore.proxy.validity import report, validate
    from piip_explore.proxy.validity.rows import published_rows, rows_of

    recipe = proxy.preset(preset)
    chosen = rows_of(rows) if rows else published_rows([name.strip() for name in tables.split(",")])
    folder = out or Path("runs") / f"validate-{recipe.name}-{recipe.hash}"
    click.echo(f"{len(chosen)} designs x {seeds} seeds, preset {recipe.name} ({recipe.hash}), into {folder}", err=True)
    for line in chosen.left_out:
        click.echo(f"left out: {line}", err=True)
    found = validate.run(chosen, recipe, range(seeds), device, folder, lambda line: click.echo(line, err=True))
    click.echo(found.to_json() if as_json else report.text(found))

"""`piip-explore import`: the authors' configs and checkpoints as our designs and weights."""  # noqa: N999

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("import")
@click.argument("config", type=click.Path(path_type=Path))
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint of the authors' code to convert.")
@click.option("--out", type=click.Path(path_type=Path), help="Where to write the converted weights (.safetensors).")
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(config: Path, weights: Path | None, out: Path | None, force: bool, as_json: bool) -> None:
    """Read CONFIG, a config file of the authors' code, as a design; with --weights convert its checkpoint too.

    The config is parsed and never executed; checkpoints are read as tensors only.
    """
    from piip_explore.official.import_design import import_config

    if (weights is None) != (out is None):
        raise click.UsageError("--weights and --out go together")
    if out is not None and out.suffix != ".safetensors":
        raise click.UsageError(f"--out {out}: expected a file name that ends in .safetensors")
    imported = import_config(config)
    design, notes = imported.design, list(imported.notes)
    result: dict[str, object] = {}
    if weights is not None and out is not None:
        from piip_explore.export import write_files
        from piip_explore.export.checkpoints import our_file
        from piip_explore.export.conversion import convert

        converted = convert(imported, weights)
        design = converted.weights.design
        notes += converted.notes
        result |= {"left_out": converted.left_out, "fresh": converted.fresh}
        result["weights"] = str(*write_files({out.name: our_file(converted.weights)}, out.parent, force=force))
    if as_json:
        head = {"design": str(design), "id": design.id, "code_base": imported.code_base, "notes": notes}
        click.echo(json.dumps(head | result))
        return
    click.echo(f"{design}\n  id {design.id}, a config of the authors' {imported.code_base} code")
    for note in notes:
        click.echo(f"  note: {note}")
    if "weights" in result:
        parts = [f"{count} of {name}" for name, count in converted.left_out.items()]
        click.echo(f"  wrote {result['weights']}" + (f"; left out tensors: {', '.join(parts)}" if parts else ""))
        if converted.fresh:
            click.echo(f"  fresh, because the checkpoint has none: {', '.join(converted.fresh)}")

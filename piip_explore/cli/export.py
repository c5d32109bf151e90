"""`piip-explore export`: write a design for another program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from piip_explore.cli import arguments
from piip_explore.export import TARGETS


def _families(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    families = {}
    for value in values:
        model, equals, family = value.partition("=")
        if not equals:
            raise click.BadParameter(f"'{value}': expected MODEL=FAMILY, such as vit_base=mae")
        families[model] = family
    return families


@click.command("export")
@click.argument("design", nargs=-1)
@click.option("--study", help="Export a trial of this study instead of a design's text.")
@click.option("--trial", help="With --study: the trial's number, `knee`, or a design's id.")
@arguments.storage
@click.option("--config", type=click.Path(path_type=Path), help="Export the design of one of the authors' configs.")
@click.option("--target", type=click.Choice(list(TARGETS)), required=True, help="What to write.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="Folder to write into.")
@click.option("--head", help="official-detection: mask-rcnn (default), cascade-rcnn or dino.")
@click.option("--data", help="native: what to train on, coco:FOLDER, ade20k:FOLDER or imagefolder:FOLDER.")
@click.option("--pretrain", multiple=True, callback=_families, help="official-*: MODEL=FAMILY of weights.")
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="Weights that this package wrote: put beside an official config, or into a program.",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    design: tuple[str, ...],
    study: str | None,
    trial: str | None,
    storage: str | None,
    config: Path | None,
    target: str,
    out: Path,
    head: str | None,
    data: str | None,
    pretrain: dict[str, str],
    weights: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write DESIGN (its text form), a study's trial or an imported config as the files of a target."""
    from piip_explore.design import Design
    from piip_explore.export import exporter, write_files

    given = {"head": head, "data": data, "pretrain": pretrain, "weights": weights}
    options: dict[str, Any] = {name: value for name, value in given.items() if value}
    if [design or None, study, config].count(None) != 2:
        raise click.UsageError("give one of: a design, --study with --trial, --config")
    origin = None
    if study is not None:
        if trial is None:
            raise click.UsageError(f"--study {study} needs --trial N")
        from piip_explore.export.trials import trial_design

        chosen, origin = trial_design(study, trial, storage)
    elif config is not None:
        from piip_explore.official.import_design import import_config

        imported = import_config(config)
        chosen = imported.design
        if target == f"official-{imported.code_base}":
            options["keep"] = imported.backbone
    else:
        chosen = Design.parse(" ".join(design))
    paths = write_files(exporter(target, **options).export(chosen, origin), out, force=force)
    if as_json:
        click.echo(json.dumps({"design": str(chosen), "id": chosen.id, "files": [str(path) for path in paths]}))
    else:
        for path in paths:
            click.echo(f"wrote {path}")

"""`piip-explore presets`: the proxy presets."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("presets")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(as_json: bool) -> None:
    """List the proxy presets; docs/proxy.md has their recipes, and says how far each can be trusted.

    NAME@KIND:FOLDER is a preset on your own data, such as cpu-detection@coco:FOLDER.
    """
    from piip_explore.preset_names import PRESETS, USUAL

    if as_json:
        click.echo(json.dumps({name: asdict(preset) for name, preset in PRESETS.items()}, indent=2))
        return
    width = max(map(len, PRESETS))
    click.echo(f"{'preset':<{width}}  {'task':<14}  {'for a':<5}  about")
    for name, preset in PRESETS.items():
        usual = ", the usual one" if name in USUAL.values() else ""
        click.echo(f"{name:<{width}}  {preset.task:<14}  {preset.hardware.upper():<5}  {preset.about}{usual}")

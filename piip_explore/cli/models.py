"""`piip-explore models`: the named branch models."""

from __future__ import annotations

import json
from dataclasses import asdict

import click


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(as_json: bool) -> None:
    """List the branch models of the catalog, and those that installed packages add.

    Other sizes are written vit[depth=12,dim=160,heads=2] or convnext[depths=3-3-9-3,dims=24-48-96-192]; another size of
    a listed ViT is dinov3_base[depth=12,dim=160,heads=2]. Names may also be spelled as in papers and timm:
    ViT-S, ConvNeXt-T, vit_small_patch16_224.
    """
    from piip_explore import catalog, plugins
    from piip_explore.errors import InputError

    models = dict(catalog.MODELS)
    for name in plugins.offered("branches"):
        try:
            models[name] = catalog.model(name)
        except InputError as error:
            click.echo(f"piip-explore: {error}", err=True)
    if as_json:
        click.echo(json.dumps({name: asdict(spec) for name, spec in models.items()}, indent=2))
        return
    click.echo(f"{'model':<18}{'M in blocks':>11}{'patch':>7}  structure")
    for name, spec in models.items():
        click.echo(f"{name:<18}{spec.weights / 1e6:>11.1f}{spec.patch:>7}  {catalog.structure(spec)}")

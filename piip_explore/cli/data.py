"""`piip-explore data`: look at and check what a proxy is trained on."""

from __future__ import annotations

from pathlib import Path

import click

_WHERE = "coco:FOLDER, ade20k:FOLDER or imagefolder:FOLDER; the embedded scenes of --preset without it."


@click.group()
def command() -> None:
    """See and check the images that proxies are trained on."""


@command.command()
@click.option("--data", "text", help=_WHERE)
@click.option("--preset", default="demo", show_default=True, help="Preset whose embedded scenes to show.")
@click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True, help="Which images.")
@click.option("--count", default=12, show_default=True, type=click.IntRange(1, 100), help="How many images.")
@click.option("--size", type=click.IntRange(16, 2048), help="Side in pixels; the preset's own without it.")
@click.option("--out", type=click.Path(path_type=Path), default="preview.png", show_default=True, help="The picture.")
def preview(text: str | None, preset: str, split: str, count: int, size: int | None, out: Path) -> None:
    """Write a picture of samples with their masks, boxes and class names."""
    from piip_explore import proxy
    from piip_explore.errors import InputError
    from piip_explore.proxy.data import open_folder
    from piip_explore.proxy.data.preview import preview as draw

    recipe = proxy.preset(preset)
    source = open_folder(text) if text else recipe.data
    sheet = draw(source, "val" if split == "val" else "train", count, size or recipe.size)
    try:
        sheet.save(out)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write '{out}': {error}") from None
    click.echo(f"wrote {out}")


@command.command()
@click.argument("text", metavar="KIND:FOLDER")
def check(text: str) -> None:
    """Check that data can be trained on, before an hour of training does."""
    from piip_explore.proxy.data import open_folder

    source = open_folder(text)
    source.check()
    (kind,) = source.provides
    click.echo(f"{text}: {kind} of {len(source.classes(kind))} classes, nothing amiss")

"""`piip-explore data`: look at and check what a proxy is trained on."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import click

_WHERE = "coco:FOLDER, ade20k:FOLDER or imagefolder:FOLDER (default: the embedded scenes of --preset)."


@click.group()
def command() -> None:
    """See and check the images that proxies are trained on."""


@command.command()
@click.option("--data", "text", help=_WHERE)
@click.option("--preset", default="demo", show_default=True, help="Preset whose embedded scenes to show.")
@click.option("--split", type=click.Choice(["train", "val"]), default="train", show_default=True, help="Which images.")
@click.option("--count", default=12, show_default=True, type=click.IntRange(1, 100), help="How many images.")
@click.option("--size", type=click.IntRange(16, 2048), help="Side in pixels (default: the preset's).")
@click.option("--out", type=click.Path(path_type=Path), default="preview.png", show_default=True, help="The picture.")
def preview(text: str | None, preset: str, split: str, count: int, size: int | None, out: Path) -> None:
    """Write a picture of samples with their masks, boxes and class names."""
    from piip_explore import proxy
    from piip_explore.errors import InputError
    from piip_explore.proxy.data import open_folder
    from piip_explore.proxy.data.preview import preview as draw
    from piip_explore.terminal import printable

    recipe = proxy.preset(preset)
    source = open_folder(text) if text else recipe.data
    sheet = draw(source, "val" if split == "val" else "train", count, size or recipe.size)
    try:
        sheet.save(out)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write '{out}': {error}") from None
    click.echo(printable(f"wrote {out}"))


@command.command()
@click.argument("text", metavar="KIND:FOLDER")
@click.option("--quick", is_flag=True, help="Check names, texts and annotations only, without opening pictures.")
def check(text: str, quick: bool) -> None:
    """Check that data can be trained on, before an hour is lost: every picture is read as training will read it."""
    from piip_explore.datasets import SPLITS, open_data
    from piip_explore.terminal import printable

    data = open_data(text)
    remarks = data.check()
    counts = {split: len(data.split(split)) for split in SPLITS}
    if not quick:
        watched = sys.stderr.isatty()
        bar = click.progressbar(
            length=sum(counts.values()), label="reading pictures", file=sys.stderr, hidden=not watched
        )
        with warnings.catch_warnings(), bar:
            warnings.filterwarnings("ignore", module="PIL")  # what matters of a file is an error or a note
            for split in SPLITS:
                remarks += data.judge(split, bar.update)
    for remark in remarks:
        click.echo(printable(f"note: {remark}"))
    shown = f"{counts['train']} training and {counts['val']} validation pictures"
    read = "not opened (leave out --quick to read them)" if quick else "all read"
    found = "nothing amiss" if not remarks else f"{len(remarks)} {'note' if len(remarks) == 1 else 'notes'} above"
    click.echo(printable(f"{text}: {data.annotation} of {len(data.classes)} classes, {found}; {shown}, {read}"))


@command.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--train", default=160, show_default=True, type=click.IntRange(1), help="How many training pictures.")
@click.option("--val", default=40, show_default=True, type=click.IntRange(1), help="How many validation pictures.")
@click.option("--size", default=256, show_default=True, type=click.IntRange(32, 2048), help="Their side in pixels.")
@click.option("--preset", default="demo", show_default=True, help="Preset whose embedded scenes to write.")
@click.option(
    "--kind", type=click.Choice(["coco", "ade20k"]), default="coco", show_default=True, help="Boxes or masks."
)
def example(folder: Path, train: int, val: int, size: int, preset: str, kind: str) -> None:
    """Write a small folder of embedded scenes, laid out as COCO or ADE20K, to try things on."""
    from piip_explore import proxy
    from piip_explore.proxy.data.example import write_coco, write_masks
    from piip_explore.terminal import printable

    write = write_coco if kind == "coco" else write_masks
    write(proxy.preset(preset).data, folder, train, val, size)
    click.echo(printable(f"wrote {train} training and {val} validation pictures: {kind}:{folder}"))

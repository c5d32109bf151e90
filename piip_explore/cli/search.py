"""`piip-explore search`: run a study, or go on with it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from piip_explore.space import Accounting


def _list(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    parts = tuple(part.strip() for part in value.split(","))
    if not all(parts):
        raise click.BadParameter(f"'{value}': expected names with a comma between them")
    return parts


def _limit(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise click.BadParameter(f"'{value:g}': expected a number above 0")
    return value


def _rungs(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        shares = [part.partition("/") for part in value.split(",")]
        return tuple(float(number) / float(divisor or 1) for number, _, divisor in shares)
    except (ValueError, ZeroDivisionError):
        raise click.BadParameter(f"'{value}': expected shares of a full run such as 1/9,1/3,1") from None


@click.command("search")
@click.argument("space", type=click.Path(path_type=Path))
@click.option("--study", help="Name of the study (default: the space's). An existing one goes on where it was.")
@click.option(
    "--storage",
    envvar="PIIP_EXPLORE_STORAGE",
    help="Journal file, or postgresql+psycopg://user@host/database for many machines (default: studies/STUDY.journal).",
)
@click.option("--trials", type=click.IntRange(min=1), help="Designs to evaluate in all, over every run of the study.")
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes (default: one per device).")
@click.option("--devices", callback=_list, help="Devices such as cuda:0,cuda:1 or cpu (default: every GPU, else CPU).")
@click.option("--sampler", help="auto (default), exhaustive, random, gp, tpe, nsga2 or nsga3.")
@click.option(
    "--objectives", callback=_list, help="Two or more of score,gflops,params,latency,memory (default: score,gflops)."
)
@click.option("--accounting", type=click.Choice(["published", "built"]), help="What counts as a FLOP.")
@click.option("--max-gflops", type=float, callback=_limit, help="Try no design above this many full-scale GFLOPs.")
@click.option("--max-params", type=float, callback=_limit, help="Try no design above this many million parameters.")
@click.option("--rungs", callback=_rungs, help="Shares of a full run for successive halving, such as 1/9,1/3,1.")
@click.option("--seed", type=click.IntRange(min=0), help="Seed of the proxy runs and of the sampler (default: 0).")
@click.option("--preset", help="Proxy preset (default: the space's).")
@click.option("--start-published", is_flag=True, help="Try the published designs of the space first.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    space: Path,
    study: str | None,
    storage: str | None,
    trials: int | None,
    workers: int | None,
    devices: tuple[str, ...] | None,
    sampler: str | None,
    objectives: tuple[str, ...] | None,
    accounting: Accounting | None,
    max_gflops: float | None,
    max_params: float | None,
    rungs: tuple[float, ...] | None,
    seed: int | None,
    preset: str | None,
    start_published: bool,
    as_json: bool,
) -> None:
    """Search SPACE (a YAML file): proxy-train designs, keep the Pareto front of score against FLOPs.

    Run the same command again to go on after a stop of any kind; raise --trials to extend a finished study.
    """
    from rich.console import Console

    from piip_explore.search import columns, launch, report, session
    from piip_explore.search.evaluators import ProxyEvaluator
    from piip_explore.search.supervisor import SearchFailedError
    from piip_explore.space import SearchSpace

    loaded = SearchSpace.load(space)
    name = study or loaded.name
    slots = session.device_slots(devices, workers)
    request = launch.Request(
        device=slots[0],
        trials=trials or loaded.proxy.get("budget"),
        sampler=sampler,
        objectives=objectives,
        accounting=accounting,
        rungs=rungs,
        seed=seed,
        max_gflops=max_gflops,
        max_params=None if max_params is None else max_params * 1e6,
        start_published=start_published,
    )
    evaluator = ProxyEvaluator(preset or loaded.proxy.get("preset", "demo"))
    started = launch.launch(loaded, evaluator, name, storage or launch.default_storage(name), request)
    evaluator = dataclasses.replace(evaluator, measure=started.study.record.measured)
    console = Console(stderr=as_json)
    try:
        finished = session.run(started, evaluator, slots, console)
    except SearchFailedError as error:
        click.echo(f"piip-explore: {error}", err=True)
        raise SystemExit(1) from None
    result = columns.read(started.study.store.url, name)
    if as_json:
        click.echo(json.dumps(report.summary(result), indent=1))
    else:
        click.echo(report.front_text(result))
    for line in session.farewell(started, space, storage is None, study, finished):
        console.print(line, soft_wrap=True, markup=False, highlight=False)
    if not finished:
        raise SystemExit(1)

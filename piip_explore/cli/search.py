"""`piip-explore search`: run a study, or resume it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from piip_explore.cli import scoring, waiting
from piip_explore.preset_names import PROXY_TASKS

if TYPE_CHECKING:
    from piip_explore.search.launch import Launch
    from piip_explore.search.session import Again
    from piip_explore.search.telling import Told


_OF_THE_MACHINE = ("workers", "devices", "executor", "address", "worker_gpus", "worker_cpus")
"""Options that a study does not keep: the arguments of `session.engine`."""


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
@click.option("--study", help="Name of the study (default: the space's name). An existing study resumes.")
@click.option(
    "--storage",
    envvar="PIIP_EXPLORE_STORAGE",
    help="Journal file, folder of them (default: studies), or for many machines postgresql+psycopg://user@host/database.",
)
@click.option("--trials", type=click.IntRange(min=1), help="Total number of designs to evaluate, over all runs.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Number of workers (default: one per device, or as many as fit on the Ray cluster).",
)
@click.option("--devices", callback=_list, help="Devices such as cuda:0,cuda:1 or cpu (default: every GPU, else CPU).")
@click.option("--executor", type=click.Choice(["local", "ray"]), default="local", help="What runs the workers.")
@click.option("--address", help="With --executor ray: the cluster, auto or HOST:PORT (default: what Ray finds).")
@click.option(
    "--worker-gpus",
    type=click.FloatRange(0, 1),
    help="With --executor ray: GPUs per worker, 1 or a share such as 0.5 (default: 1 if there are GPUs).",
)
@click.option(
    "--worker-cpus", type=click.FloatRange(0, min_open=True), help="With --executor ray: CPUs per worker (default: 1)."
)
@click.option("--sampler", help="auto (default), exhaustive, random, gp, tpe, nsga2 or nsga3.")
@click.option(
    "--objectives",
    callback=_list,
    help="Two or more of score,gflops,params,latency,memory,energy,latency@PROFILE (default: score,gflops).",
)
@click.option("--accounting", type=click.Choice(["published", "built"]), help="What counts as a FLOP.")
@click.option("--max-gflops", type=float, callback=_limit, help="Skip designs above this many full-scale GFLOPs.")
@click.option("--max-params", type=float, callback=_limit, help="Skip designs above this many million parameters.")
@click.option("--max-latency-ms", metavar="MS@PROFILE", help="Skip designs predicted to take longer, such as 25@h100.")
@click.option("--rungs", callback=_rungs, help="Shares of a full run for successive halving: 1/9,1/3,1, or 0,1/4,1.")
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), help="Seed of the proxy runs and of the sampler (default: 0)."
)
@click.option("--preset", help="Proxy preset, see `piip-explore presets` (default: chosen by space and device).")
@click.option(
    "--task",
    type=click.Choice(PROXY_TASKS),
    help="What scores designs (default: the space's task).",
)
@click.option("--evaluator", metavar="MODULE:OBJECT", help="Score with an evaluator of your own (docs/search.md).")
@click.option(
    "--evaluator-command", metavar="COMMAND", help="Score with a command, such as 'bash train.sh {config} {out}'."
)
@click.option("--export-target", help="With --evaluator-command: what designs are exported for (default: native).")
@click.option("--metric", help="With --evaluator-command: the metric that is the score (default: score).")
@click.option("--time-limit", type=click.FloatRange(min=0, min_open=True), help="With --evaluator-command: seconds.")
@click.option("--start-published", is_flag=True, help="Try the published designs of the space first.")
@click.option("--dry-run", is_flag=True, help="Print what would be evaluated, then stop.")
@click.option(
    "--log-file", type=click.Path(path_type=Path, dir_okay=False), help="Append a line per trial to this file."
)
@click.option("-q", "--quiet", is_flag=True, help="Print only the results.")
@click.option("-v", "--verbose", is_flag=True, help="Print more: what is being loaded or waited for.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def command(
    space: Path,
    study: str | None,
    storage: str | None,
    dry_run: bool,
    as_json: bool,
    log_file: Path | None,
    quiet: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Search SPACE: proxy-train designs, keep the Pareto front of score against FLOPs.

    SPACE is a YAML file, or the name of a space that `piip-explore spaces` lists.

    Run the same command again to resume after a stop of any kind; raise --trials to extend a finished study. Settings
    that you do not give stay as the study has them.
    """
    from rich.console import Console

    from piip_explore.search import launch, locate, preview, session, telling
    from piip_explore.search.record import MEASURED, Record
    from piip_explore.search.supervisor import SearchFailedError
    from piip_explore.space import SearchSpace
    from piip_explore.space.bounds import parse_bound
    from piip_explore.terminal import printable

    asked = scoring.given({name: options.pop(name) for name in scoring.OPTIONS})
    machine = {name: options.pop(name) for name in _OF_THE_MACHINE}
    loaded = SearchSpace.load(space)
    name = study or loaded.name
    if options["max_params"] is not None:
        options["max_params"] *= 1e6
    if options["max_latency_ms"] is not None:
        options["max_latency_ms"] = str(parse_bound(options["max_latency_ms"]))
    request = launch.Request(**options, scoring={} if {"preset", "task"} & asked.keys() else asked)
    launch.check(request, name)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s")
    where = locate.storage_of(name, storage)
    stored = launch.stored_record(where, name)
    if request.trials is None and (stored is None or "trials" not in stored.asked):
        request = dataclasses.replace(request, trials=loaded.proxy.get("budget"))
    named = scoring.remembered(asked, stored)
    measured = [what for what in request.objectives or (stored or Record({}, {}, {})).objectives if what in MEASURED]
    scoring.check(named, loaded, machine["devices"])
    telling.check_log(log_file)
    with waiting.said(verbose or (sys.stderr.isatty() and not quiet)):
        engine = session.engine(**machine)
        request = dataclasses.replace(request, device=engine.device)
        scores = scoring.evaluator(named, loaded, engine.device, tuple(measured))
        if dry_run:
            click.echo(printable("\n".join(preview.plan(loaded, scores, name, where, request))))
            return
        started = launch.launch(loaded, scores, name, where, request)
    console = Console(stderr=as_json)
    told = telling.Told(console, quiet=quiet, by_lines=verbose, log=log_file)
    try:
        # Ray prints to the standard output what becomes of its nodes: of a search with --json it is for the result.
        with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
            finished = session.run(started, scores, engine, told)
    except SearchFailedError as error:
        click.echo(f"piip-explore: {error}", err=True)
        raise SystemExit(1) from None
    again = session.Again(str(space), study, storage if _was_typed("storage") else None, _typed(*_OF_THE_MACHINE))
    _conclude(started, again, finished, told, as_json)


def _typed(*options: str) -> tuple[str, ...]:
    """Return these options as they were typed, as words."""
    words: list[str] = []
    for option in filter(_was_typed, options):
        value = click.get_current_context().params[option]
        words += [f"--{option.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return tuple(words)


def _was_typed(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is click.core.ParameterSource.COMMANDLINE


def _conclude(started: Launch, again: Again, finished: bool, told: Told, as_json: bool) -> None:
    """Print the results and how to resume; exit with status 1 if the search was stopped or has nothing to show."""
    from piip_explore.search import columns, failures, report, session
    from piip_explore.terminal import printable

    store = started.study.store
    result = columns.read(store.url, store.study)
    if as_json:
        click.echo(json.dumps(report.summary(result), indent=1))
    else:
        failed = failures.text(result)
        click.echo(report.front_text(result) + (f"\n{failed}" if failed else ""))
    for line in session.farewell(started, again, finished) if not told.quiet else ():
        told.console.print(printable(line), soft_wrap=True, markup=False, highlight=False)
    if finished and not result.full.any():
        reason = next((f", most of them with: {found.reason}" for found in failures.failures(result)), "")
        click.echo(printable(f"piip-explore: no design could be evaluated{reason}"), err=True)
    if not finished or not result.full.any():
        raise SystemExit(1)

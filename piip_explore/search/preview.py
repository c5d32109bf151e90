"""What a search would do, without doing it."""

from __future__ import annotations

from pathlib import Path

from piip_explore.search import rungs
from piip_explore.search.evaluators import Evaluator
from piip_explore.search.launch import Request, prepared, scored_by, trials
from piip_explore.search.ledger import PoolState
from piip_explore.search.storage import StorageURL, parse
from piip_explore.space import SearchSpace


def plan(
    space: SearchSpace, evaluator: Evaluator, study: str, storage: str | Path | StorageURL, request: Request
) -> list[str]:
    """Return what `launch` and a search would do, line by line; nothing is written or evaluated.

    Raises:
        InputError: what `launch` would raise.
    """
    store, wanted, pool, sampler = prepared(space, evaluator, study, storage, request)
    budget = min(trials(wanted), len(pool))
    lines = [
        f"Study '{study}' in {parse(storage)}: {budget:,} of {len(pool):,} designs",
        f"Score: {scored_by(wanted)}",
        f"Sampler: {sampler.name} ({sampler.reason})",
    ]
    ledger = None if store is None else PoolState(store, wanted, pool).ledger
    left = seconds = 0.0
    for number, fidelity in enumerate(wanted.rungs):
        planned = rungs.quota(wanted.rungs, number, budget)
        done = 0 if ledger is None else len(ledger.rungs[number].evaluated) + len(ledger.rungs[number].failed)
        which = f"At {fidelity:.3g} of a full run" if fidelity else "Untuned"
        lines.append(f"{which}: {planned:,} planned, {done:,} done")
        left += rungs.work(fidelity) * max(0, planned - done)
        seconds += rungs.work(fidelity) * done
    lines.append(f"Left to do: as much as {left:.3g} full runs")
    if ledger is not None and seconds:
        lines[-1] += f", about {left * ledger.seconds / seconds / 3600:.3g} device-hours as fast as so far"
    if store is not None:
        store.leave()
    return lines

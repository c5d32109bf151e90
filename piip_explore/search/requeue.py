"""Queueing designs again that were given up."""

from __future__ import annotations

from piip_explore.errors import InputError
from piip_explore.search.ledger import Ledger
from piip_explore.search.record import Record
from piip_explore.search.storage import STATES, WAITING, NewTrial, StudyStorage

_OF_THE_DESIGN = ("design", "id", "fidelity", "rung", "seed", "gflops_published", "gflops_built", "params")


def requeue(store: StudyStorage, trial: int | None = None) -> list[int]:
    """Queue every design again that was given up, or that of one trial; return the numbers of the new trials.

    The next search, or one that runs, evaluates them, with nothing charged to them.

    Raises:
        InputError: the study was not made by a search, or its design of this trial is not given up.
    """
    record = Record.from_attributes(store.table.study_attributes)
    with store.lock():
        store.refresh()
        ledger = Ledger(len(record.rungs))
        ledger.update(store.table, range(len(store.table)))
        given_up = sorted(number for rung in ledger.rungs for number in rung.failed.values())
        if trial is not None:
            _check(store, given_up, trial)
            given_up = [trial]
        return [store.create(_again(store, record, number), WAITING) for number in given_up]


def _check(store: StudyStorage, given_up: list[int], trial: int) -> None:
    if trial >= len(store.table):
        raise InputError(f"study '{store.study}' has no trial {trial}: it has {len(store.table)} trials, from 0")
    if trial not in given_up:
        trials = ", ".join(map(str, given_up)) or "none"
        state = STATES[store.table.state[trial]]
        raise InputError(f"the design of trial {trial} ({state}) is not given up: those of these trials are: {trials}")


def _again(store: StudyStorage, record: Record, number: int) -> NewTrial:
    table, params = store.table, store.table.params_of(number)
    kept = {name: table.attribute(name, number) for name in _OF_THE_DESIGN}
    return NewTrial(
        params=params,
        choices={name: record.choices[name] for name in params},
        attributes={**kept, "retry_of": number},
        constraints={name: of[number] for name, of in table.constraints.items() if of[number] is not None},
    )

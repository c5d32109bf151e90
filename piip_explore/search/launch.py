"""From what a person asks for to a live study: new, resumed or extended."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import pool as pools
from piip_explore.search.evaluators import Evaluator
from piip_explore.search.extend import check_same, extended
from piip_explore.search.pool import Limits, Pool
from piip_explore.search.record import Record
from piip_explore.search.samplers import Choice, choose, make
from piip_explore.search.storage import NoSuchStudyError, StorageURL, StudyStorage, open_study
from piip_explore.search.study import Study
from piip_explore.space import Accounting, SearchSpace

DEFAULT_TRIALS = 24


@dataclass(frozen=True)
class Request:
    """What a person asks for. None means: as the study has it, or the default of a new one."""

    trials: int | None = None
    sampler: str | None = None
    objectives: tuple[str, ...] | None = None
    accounting: Accounting | None = None
    rungs: tuple[float, ...] | None = None
    seed: int | None = None
    device: str = "cpu"
    max_gflops: float | None = None
    max_params: float | None = None
    start_published: bool = False


@dataclass(frozen=True)
class Launch:
    """A study that is ready to run, with what to say about it."""

    study: Study
    sampler: Choice
    resumed: bool
    notes: tuple[str, ...] = field(default=())


def default_storage(study: str) -> str:
    """Return the journal file of a study for which no storage is named."""
    return f"studies/{study}.journal"


def launch(
    space: SearchSpace, evaluator: Evaluator, study: str, storage: str | Path | StorageURL, request: Request
) -> Launch:
    """Create the study, or open it and check that it may go on with this space and these settings.

    Raises:
        InputError: the storage cannot be used, or the study is another one; nothing is changed then.
    """
    store = find(storage, study)
    wanted = wanted_record(space, evaluator, request, None if store is None else read_record(store))
    pool = pools.load(space, wanted.limits, wanted.accounting)
    sampler = choose(request.sampler, pool, request.trials or DEFAULT_TRIALS, wanted)
    return assemble(pool, wanted, sampler, store or open_study(storage, study, wanted.directions), request)


def find(storage: str | Path | StorageURL, study: str) -> StudyStorage | None:
    """Return the study if there is one.

    Raises:
        InputError: the storage cannot be read.
    """
    try:
        return open_study(storage, study)
    except NoSuchStudyError:
        return None


def read_record(store: StudyStorage) -> Record | None:
    """Return a study's record; a search that was killed before it wrote one leaves none.

    Raises:
        InputError: the study was not made by a search.
    """
    attributes = store.table.study_attributes
    empty = not len(store.table) and "format" not in attributes
    return None if empty else Record.from_attributes(attributes)


def assemble(pool: Pool, wanted: Record, sampler: Choice, store: StudyStorage, request: Request) -> Launch:
    """Write the study's record and make it live.

    Raises:
        InputError: another machine has meanwhile made the study with other settings.
    """
    with store.lock():
        store.refresh()
        before = read_record(store)
        if before is not None:
            check_same(before, wanted)
        choices = {axis.name: axis.choices for axis in pool.axes}
        record = extended(before, replace(wanted, choices=choices))
        _write_record(store, record)
    start = _published(pool) if request.start_published else ()
    budget = min(request.trials or DEFAULT_TRIALS, len(pool))
    live = Study(store, record, pool, make(sampler.name, pool, record), budget, start)
    return Launch(live, sampler, before is not None, tuple(_notes(store, before, record)))


def wanted_record(space: SearchSpace, evaluator: Evaluator, request: Request, stored: Record | None) -> Record:
    """Return the record of the study that is asked for, after a check that the stored one may go on as it.

    Raises:
        InputError: it may not; the sentence lists every difference.
    """
    base = stored or Record(space={}, choices={}, evaluator={})
    limits = Limits(
        request.max_gflops if request.max_gflops is not None else base.limits.max_gflops,
        request.max_params if request.max_params is not None else base.limits.max_params,
    )
    wanted = Record(
        space=space.summary(),
        choices=base.choices,
        evaluator=evaluator.describe(),
        objectives=request.objectives or base.objectives,
        accounting=request.accounting or base.accounting,
        limits=limits,
        rungs=request.rungs or base.rungs,
        seed=base.seed if request.seed is None else request.seed,
        conditions=evaluator.conditions(request.device),
    )
    if "memory" in wanted.measured and request.device.startswith("cpu"):
        raise InputError("the objective 'memory' needs a GPU: on the CPU, PyTorch does not count a design's memory")
    if stored is not None:
        check_same(stored, wanted)
    return wanted


def _write_record(store: StudyStorage, record: Record) -> None:
    """Write what is new in the record."""
    before = dict(store.table.study_attributes)
    for name, value in record.to_attributes().items():
        if before.get(name) != value:
            store.set_study_attribute(name, value)
    if "format" not in before:
        store.name_values(record.objectives)


def _notes(store: StudyStorage, before: Record | None, record: Record) -> list[str]:
    """Return what is worth saying before a search begins."""
    notes = []
    if before is not None:
        changed = [
            f"{name} {value} (so far {before.conditions.get(name, 'none')})"
            for name, value in record.conditions.items()
            if before.conditions.get(name) != value
        ]
        if changed:
            notes.append(f"Note: scores may not compare with the study's earlier ones: {', '.join(changed)}")
        if before.space["size"] != record.space["size"]:
            notes.append(f"The space grows from {before.space['size']:,} to {record.space['size']:,} designs.")
    if store.url.kind == "sqlite":
        from piip_explore.search.storage.relational import SQLITE_WARNING

        notes.append(f"Note: {SQLITE_WARNING}")
    return notes


def _published(pool: Pool) -> tuple[Design, ...]:
    """Return the published designs that the pool holds."""
    from piip_explore import published

    rows = published.load().drop_duplicates("design")
    designs = [Design.parse(text) for text in rows["design"]]
    return tuple(design for design in designs if pool.row_of(design) is not None)

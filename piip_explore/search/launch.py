"""From what a person asks for to a live study: new, resumed or extended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from piip_explore import extras, preset_names
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search import pool as pools
from piip_explore.search.evaluators import Evaluator
from piip_explore.search.extend import check_same, extended
from piip_explore.search.pool import Limits, Pool
from piip_explore.search.record import Record, predicted_on
from piip_explore.search.samplers import Choice, check_sampler, choose, make
from piip_explore.search.storage import NoSuchStudyError, StorageURL, StudyStorage
from piip_explore.search.study import Study
from piip_explore.space import Accounting, SearchSpace
from piip_explore.space.bounds import parse_bound

DEFAULT_TRIALS = 24


@dataclass(frozen=True)
class Request:
    """What a person asks for. None means: as the study has it, or the default of a new one.

    `scoring` is what names the evaluator, for the record: a later search without it makes the same one from it.
    """

    trials: int | None = None
    sampler: str | None = None
    objectives: tuple[str, ...] | None = None
    accounting: Accounting | None = None
    rungs: tuple[float, ...] | None = None
    seed: int | None = None
    device: str = "cpu"
    max_gflops: float | None = None
    max_params: float | None = None
    max_latency_ms: str | None = None
    start_published: bool = False
    scoring: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Launch:
    """A study that is ready to run, with what to say about it."""

    study: Study
    sampler: Choice
    resumed: bool
    notes: tuple[str, ...]


def check_name(study: str) -> None:
    """Check that a study's name can name its files.

    Raises:
        InputError: it would leave the folder of studies, is too long, or holds what no terminal shows.
    """
    if "/" in study or study in ("", ".", "..") or not study.isprintable() or len(study.encode()) > 200:
        raise InputError(f"study name '{study}': expected up to 200 letters, digits and signs, and no slash")


def check(request: Request, study: str) -> None:
    """Check what can be checked before anything is opened, counted or trained.

    Raises:
        InputError: an unknown sampler or objective, rungs that are none, or a name that no study can have.
    """
    check_name(study)
    check_sampler(request.sampler)
    draft = Record(space={}, choices={}, evaluator={})
    replace(draft, objectives=request.objectives or draft.objectives, rungs=request.rungs or draft.rungs)


def default_storage(study: str, folder: str = "studies") -> str:
    """Return the journal file of a study for which no storage, or only a folder, is named."""
    return str(Path(folder, f"{study}.journal"))


def launch(
    space: SearchSpace, evaluator: Evaluator, study: str, storage: str | Path | StorageURL, request: Request
) -> Launch:
    """Create the study, or open it and check that it may continue with this space and these settings.

    Raises:
        InputError: the storage cannot be used, or the study is another one; nothing is changed then.
    """
    store, wanted, pool, sampler = prepared(space, evaluator, study, storage, request)
    return assemble(pool, wanted, sampler, store or StudyStorage(storage, study, wanted.directions), request)


def prepared(
    space: SearchSpace, evaluator: Evaluator, study: str, storage: str | Path | StorageURL, request: Request
) -> tuple[StudyStorage | None, Record, Pool, Choice]:
    """Return the study if there is one, and the record, pool and sampler that are asked for; nothing is written.

    Raises:
        InputError: what `launch` would raise.
    """
    check_name(study)
    store = find(storage, study)
    wanted = wanted_record(space, evaluator, request, None if store is None else read_record(store))
    pool = pools.load(space, wanted.limits, wanted.accounting, wanted.profiles)
    return store, wanted, pool, choose(wanted.asked.get("sampler"), pool, trials(wanted), wanted)


def scored_by(record: Record) -> str:
    """Return what gives a study's designs their score."""
    evaluator = record.evaluator
    if evaluator.get("kind") != "proxy":
        return str(evaluator.get("command") or evaluator.get("kind"))
    known = preset_names.PRESETS.get(str(evaluator["preset"]).partition("@")[0])
    about = f"{known.task}, sized for a {known.hardware.upper()}: " if known else ""
    return f"{evaluator.get('metric')} of the proxy preset {evaluator['preset']} ({about}docs/proxy.md)"


def find(storage: str | Path | StorageURL, study: str) -> StudyStorage | None:
    """Return the study if there is one.

    Raises:
        InputError: the storage cannot be read.
    """
    try:
        return StudyStorage(storage, study)
    except NoSuchStudyError:
        return None


def trials(record: Record) -> int:
    """Return how many designs a study evaluates."""
    return int(record.asked.get("trials", DEFAULT_TRIALS))


def stored_record(storage: str | Path | StorageURL, study: str) -> Record | None:
    """Return the record of a study, None where there is no such study yet.

    Raises:
        InputError: the storage cannot be read, or the study was not made by a search.
    """
    store = find(storage, study)
    if store is None:
        return None
    try:
        return read_record(store)
    finally:
        store.leave()


def read_record(store: StudyStorage) -> Record | None:
    """Return a study's record; a search that was killed before it wrote one leaves none.

    Raises:
        InputError: the study was not made by a search.
    """
    attributes = store.table.study_attributes
    if not len(store.table) and not attributes.keys() >= {"space", "choices", "evaluator", "limits", "rungs", "seed"}:
        return None
    return Record.from_attributes(attributes)


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
        record = replace(wanted, choices=choices)
        record = record if before is None else extended(before, record)
        _write_record(store, before, record)
    start = _published(pool) if request.start_published else ()
    budget = min(trials(record), len(pool))
    live = Study(store, record, pool, make(sampler.name, pool, record), budget, start)
    return Launch(live, sampler, before is not None, tuple(_notes(before, record)))


def wanted_record(space: SearchSpace, evaluator: Evaluator, request: Request, stored: Record | None) -> Record:
    """Return the record of the study that is asked for, after a check that the stored one may continue as it.

    Raises:
        InputError: it may not; the sentence lists every difference.
    """
    base = stored or Record(space={}, choices={}, evaluator={})
    limits = Limits(
        request.max_gflops if request.max_gflops is not None else base.limits.max_gflops,
        request.max_params if request.max_params is not None else base.limits.max_params,
        request.max_latency_ms if request.max_latency_ms is not None else base.limits.max_latency_ms,
    )
    objectives = request.objectives or base.objectives
    named = {"trials": request.trials, "sampler": request.sampler, "scoring": dict(request.scoring) or None}
    wanted = Record(
        space=space.summary(),
        choices=base.choices,
        evaluator=evaluator.describe(),
        objectives=objectives,
        accounting=request.accounting or base.accounting,
        limits=limits,
        rungs=request.rungs or base.rungs,
        seed=base.seed if request.seed is None else request.seed,
        conditions=evaluator.conditions(request.device),
        profiles=_profiles(objectives, limits.max_latency_ms, space.constraints.max_latency_ms),
        asked={**base.asked, **{name: value for name, value in named.items() if value is not None}},
    )
    for what in ("memory", "energy"):
        if what in wanted.measured and request.device.startswith("cpu"):
            raise InputError(f"the objective '{what}' needs a GPU: on the CPU, nobody counts a design's {what}")
    if "energy" in wanted.measured:
        extras.need("the objective 'energy'", "pynvml")
    if wanted.rungs[0] == 0 and not getattr(evaluator, "judges_untuned", False):
        raise InputError(
            "a first rung of 0 judges designs untuned, as parts of a supernet: take a preset that has supernets "
            f"({', '.join(_with_supernets())}), or begin the rungs with a share above 0"
        )
    if stored is not None:
        check_same(stored, wanted)
    return wanted


def _with_supernets() -> list[str]:
    from piip_explore.proxy import PRESETS

    return [name for name, preset in PRESETS.items() if preset.supernet and preset.supernet.shared == "everything"]


def _profiles(objectives: Sequence[str], *limits: str | None) -> dict[str, str]:
    """Return when the device profiles were measured that objectives and limits name.

    Raises:
        InputError: one cannot be read.
    """
    from piip_explore.latency import load

    names = [*filter(None, map(predicted_on, objectives)), *(parse_bound(text).profile for text in limits if text)]
    return {name: load(name).date for name in names}


def _write_record(store: StudyStorage, before: Record | None, record: Record) -> None:
    """Write the record, if it is another one, at once: a kill leaves the old one or the new one."""
    if before is None:
        store.name_values(record.objectives)
    ((name, entries),) = record.to_attributes().items()
    if any(store.table.study_attributes.get(entry) != value for entry, value in entries.items()):
        store.set_study_attribute(name, entries)


def _notes(before: Record | None, record: Record) -> list[str]:
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
    return notes


def _published(pool: Pool) -> tuple[Design, ...]:
    """Return the published designs that the pool holds."""
    from piip_explore import published

    rows = published.load().drop_duplicates("design")
    designs = [Design.parse(text) for text in rows["design"]]
    return tuple(design for design in designs if pool.row_of(design) is not None)

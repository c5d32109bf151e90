"""What must add up in a study, whatever was killed."""

from __future__ import annotations

from collections import Counter

from piip_explore.search.columns import Columns
from piip_explore.search.storage import COMPLETE, FAIL, PRUNED, RUNNING, WAITING


def check_accounts(study: Columns, trials: int, rung: int = 0) -> Counter[str]:
    """Every design of the budget is complete exactly once, or given up with a reason; nothing is left open."""
    assert not ((study.state == RUNNING) | (study.state == WAITING)).any()
    mine = study.select((study.attributes["rung"] == rung).to_numpy().nonzero()[0])
    done = mine.attributes["id"][(mine.state == COMPLETE) | (mine.state == PRUNED)]
    assert done.is_unique
    fates = ["final", "superseded_by"]
    failed = mine.attributes.reindex(columns=["id", "failure", *fates])[mine.state == FAIL]
    assert failed["failure"].notna().all()
    poison = failed[failed["final"].notna()]
    assert set(done).isdisjoint(poison["id"])
    assert len(done) + len(poison) == trials
    lost = failed[failed[fates].isna().all(axis=1)]
    retried = mine.attributes.reindex(columns=["retry_of"])["retry_of"].dropna().astype(int)
    assert retried.is_unique, "a failed trial is queued again exactly once"
    assert set(mine.number[lost.index]) == set(retried)
    return Counter(complete=len(done), poison=len(poison), killed=len(failed))

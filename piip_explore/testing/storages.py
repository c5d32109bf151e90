"""The contract of a storage: what keeps studies, and shows every search what the others have written."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence

import pytest

from piip_explore.search.storage import (
    COMPLETE,
    FAIL,
    PRUNED,
    RESULT,
    RUNNING,
    WAITING,
    NewTrial,
    NoSuchStudyError,
    StudyStorage,
    study_names,
)

DIRECTIONS = ("maximize", "minimize")
TRIAL = NewTrial(
    {"model": "vit_small", "resolution": 896},
    {"model": ["vit_tiny", "vit_small"], "resolution": [448, 896]},
    {"design": "vit_small@896", "fidelity": 1.0, "worker": {"pid": 7}},
    {"gflops": -3.0},
)


class StorageContract(ABC):
    """Tests of the storage at one address; each makes a study of its own there."""

    @abstractmethod
    def address(self) -> str:
        """Return the storage, as `--storage` takes it."""

    @pytest.fixture
    def name(self) -> str:
        """The name of the test's study."""
        return f"contract-{uuid.uuid4().hex}"

    def opened(self, name: str) -> StudyStorage:
        """Open a study as one more search does, and make it if it is missing."""
        return StudyStorage(self.address(), name, DIRECTIONS)

    def test_a_finished_trial_reads_back_the_same(self, name: str) -> None:
        """Parameters, attributes, constraints, values and times, for who wrote it and for others."""
        store = self.opened(name)
        number = store.create(TRIAL, RUNNING)
        store.finish(number, COMPLETE, [0.5, 97.0], {RESULT: {"seconds": 1.5}})
        for reader in (store, self.opened(name)):
            table = reader.table
            assert (table.state, table.values) == ([COMPLETE], [[0.5, 97.0]])
            assert table.params_of(0) == dict(TRIAL.params)
            assert table.attributes_of(0) == {**TRIAL.attributes, "seconds": 1.5}
            assert {what: values[0] for what, values in table.constraints.items()} == {"gflops": -3.0}
            assert (table.started[0] or "") <= (table.completed[0] or "")
            assert table.directions == list(DIRECTIONS)

    def test_every_state_is_seen_by_others(self, name: str) -> None:
        """Of two who claim a waiting trial one gets it."""
        store = self.opened(name)
        for _ in range(5):
            store.create(TRIAL, RUNNING)
        store.finish(0, COMPLETE, [1.0, 2.0], {})
        store.finish(1, PRUNED, [0.5, 2.0], {})
        store.finish(2, FAIL, None, {"failure": "out of memory"})
        store.release(3)
        states = [COMPLETE, PRUNED, FAIL, WAITING, RUNNING]
        assert store.table.state == self.opened(name).table.state == states
        other = self.opened(name)
        assert store.claim(3, {"device": "cpu"})
        assert not other.claim(3, {"device": "cuda"})
        assert self.opened(name).table.state[3] == RUNNING
        assert self.opened(name).table.attributes_of(3)["device"] == "cpu"

    def test_a_write_hides_no_news_of_others(self, name: str) -> None:
        """What others wrote before a write of one's own is told by the next refresh."""
        one, other = self.opened(name), self.opened(name)
        first = one.create(TRIAL, RUNNING)
        other.refresh()
        one.finish(first, COMPLETE, [0.1, 1.0], {})
        second = other.create(TRIAL, RUNNING)
        assert news(other) == {first, second}
        assert news(other) <= {second}

    def test_a_refresh_reports_what_others_changed(self, name: str) -> None:
        """Trials by their numbers; the study's attributes are there as well."""
        one, other = self.opened(name), self.opened(name)
        first = one.create(TRIAL, RUNNING)
        second = one.create(TRIAL, RUNNING)
        assert news(other) == {first, second}
        one.finish(first, COMPLETE, [0.1, 1.0], {})
        assert first in news(other)
        assert other.table.state == [COMPLETE, RUNNING]
        one.set_study_attribute("space", {"axes": [1, 2]})
        other.refresh()
        assert other.table.study_attributes == {"space": {"axes": [1, 2]}}

    def test_choices_may_grow_at_their_end(self, name: str) -> None:
        """A space that grows keeps the choices of earlier trials."""
        self.opened(name).create(TRIAL, WAITING)
        wider: dict[str, Sequence[object]] = {"model": ["vit_tiny", "vit_small", "vit_base"], "resolution": [448, 896]}
        self.opened(name).create(NewTrial({"model": "vit_base", "resolution": 448}, wider), WAITING)
        assert self.opened(name).table.params["model"] == ["vit_small", "vit_base"]

    def test_a_lease_is_held_until_it_is_left(self, name: str) -> None:
        """Searches see who else is there."""
        one, other = self.opened(name), self.opened(name)
        assert not other.alive("a")
        one.join("a")
        assert other.alive("a")
        assert one.alive("a")
        one.leave()
        assert not other.alive("a")

    def test_infinite_values_survive(self, name: str) -> None:
        """They are values as others are."""
        store = self.opened(name)
        store.create(TRIAL, RUNNING)
        store.finish(0, COMPLETE, [float("-inf"), 2.0], {})
        assert self.opened(name).table.values == [[float("-inf"), 2.0]]

    def test_two_studies_share_a_storage(self, name: str) -> None:
        """Each has its own trials, numbered from 0."""
        one, two = self.opened(f"{name}-a"), self.opened(f"{name}-b")
        two.create(TRIAL, WAITING)
        one.create(TRIAL, RUNNING)
        two.create(TRIAL, RUNNING)
        two.finish(1, COMPLETE, [1.0, 1.0], {})
        one.refresh()
        assert (one.table.state, two.table.state) == ([RUNNING], [WAITING, COMPLETE])
        assert {f"{name}-a", f"{name}-b"} <= set(study_names(self.address()))

    def test_nothing_is_created_by_a_look(self, name: str) -> None:
        """A study that is missing is named, beside those that there are."""
        self.opened(f"{name}-a")
        for _ in range(2):
            with pytest.raises(NoSuchStudyError, match=rf"holds no study '{name}': it holds .*{name}-a"):
                StudyStorage(self.address(), name)


def news(store: StudyStorage) -> set[int]:
    """Return the numbers of the trials that a refresh has found changed."""
    changed = store.refresh()
    assert changed is not None, "the study begins anew"
    return changed

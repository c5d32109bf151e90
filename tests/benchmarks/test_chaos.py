import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

from benchmarks.chaos import STUDY, accounts


@pytest.fixture
def study(tmp_path):
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(tmp_path / "s.journal")))
    return optuna.create_study(study_name=STUDY, storage=storage)


def add(study, design_id, state, **attributes):
    value = 1.0 if state == TrialState.COMPLETE else None
    study.add_trial(create_trial(state=state, value=value, user_attrs={"id": design_id, **attributes}))


def test_what_a_sound_study_adds_up_to(study, tmp_path):
    add(study, "a", TrialState.FAIL, failure="killed")
    add(study, "a", TrialState.COMPLETE)
    add(study, "b", TrialState.COMPLETE)
    counts = accounts(str(tmp_path / "s.journal"), 2)
    assert counts == {"designs": 2, "finished": 2, "duplicates": 0, "lost": 0, "given_up": 0, "open": 0}


def test_each_fault_is_counted(study, tmp_path):
    add(study, "a", TrialState.COMPLETE)
    add(study, "a", TrialState.COMPLETE)
    add(study, "b", TrialState.FAIL, failure="crashed", final=True)
    add(study, "c", TrialState.RUNNING)
    counts = accounts(str(tmp_path / "s.journal"), 3)
    assert counts == {"designs": 3, "finished": 1, "duplicates": 1, "lost": 1, "given_up": 1, "open": 1}

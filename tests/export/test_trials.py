"""Exporting a study's trial."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from piip_explore import Design
from piip_explore.cli import main
from piip_explore.errors import InputError
from piip_explore.export.trials import trial_design

DESIGN = Design.parse("vit_tiny@640 vit_small@512; interactions=6")


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    path = tmp_path / "s.journal"
    study = optuna.create_study(
        study_name="s", storage=JournalStorage(JournalFileBackend(str(path))), directions=["maximize", "minimize"]
    )
    attributes = {"design": str(DESIGN), "id": DESIGN.id, "seed": 3, "device": "cpu", "standard_error": 0.01}
    study.add_trial(optuna.trial.create_trial(values=[0.5, 21.0], user_attrs=attributes))
    study.add_trial(optuna.trial.create_trial(values=[0.6, 22.0]))
    return path


def test_a_trial_is_a_design_with_its_origin(storage: Path) -> None:
    design, origin = trial_design("s", 0, str(storage))
    assert design == DESIGN
    assert (origin.study, origin.trial) == ("s", 0)
    assert list(origin.scores.values()) == [0.5, 21.0]
    assert origin.conditions["seed"] == 3
    assert origin.conditions["device"] == "cpu"
    assert origin.conditions["standard_error"] == 0.01


def test_the_command_writes_it(storage: Path, tmp_path: Path) -> None:
    arguments = ["--study", "s", "--storage", str(storage), "--trial", "0"]
    main(["export", *arguments, "--target", "json", "--out", str(tmp_path / "out")])
    (written,) = (tmp_path / "out").iterdir()
    content = json.loads(written.read_text())
    assert content["design"] == str(DESIGN)
    assert content["origin"]["trial"] == 0
    assert content["cost"]["published"]["gmacs"] < content["cost"]["built"]["gmacs"]
    assert content["traffic"]["moved"] > content["traffic"]["activations"] > 0


def test_what_is_not_there_is_named(storage: Path) -> None:
    with pytest.raises(InputError, match="no trial 7"):
        trial_design("s", 7, str(storage))
    with pytest.raises(InputError, match="names no design"):
        trial_design("s", 1, str(storage))
    with pytest.raises(InputError):
        trial_design("other", 0, str(storage))

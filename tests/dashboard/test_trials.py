from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piip_explore.dashboard.figures.contents import ChartAxis
from piip_explore.dashboard.trials import Filters, Traits, Trials, front_rows, of
from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.search.columns import read
from tests.dashboard import synthetic


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> Trials:
    path = tmp_path_factory.mktemp("trials") / "demo.journal"
    synthetic.write(path, "demo", 100)
    return of(read(path, "demo"), {})


@given(st.integers(0, synthetic.space().size - 1))
def test_features_agree_with_the_parsed_design(row: int) -> None:
    design = synthetic.space().design(row)
    features = Traits.of(str(design))
    assert sorted(features.sizes) == sorted((branch.model, branch.resolution) for branch in design.branches)
    assert features.models == {branch.model for branch in design.branches}
    assert features.resolution == design.resolution
    assert features.interactions == (design.interaction.count if design.interaction else 0)
    assert features.merge == design.merge.kind


@pytest.mark.parametrize(
    "text",
    [
        "vit_base@448",
        "vit[depth=6,dim=96,heads=3]@896 vit_tiny@784; interactions=0",
        "vit_tiny@1120:w14 vit_base@448:w14g3; heads=8; merge=linear; out=1",
    ],
)
def test_features_of_other_forms(text: str) -> None:
    design = Design.parse(text)
    features = Traits.of(str(design))
    assert features.resolution == design.resolution
    assert features.sizes == tuple((branch.model, branch.resolution) for branch in design.branches)
    assert features.interactions == (design.interaction.count if design.interaction else 0)
    assert features.merge == design.merge.kind


def test_a_trial_whose_design_cannot_be_read_is_found_by_no_filter(tmp_path: Path) -> None:
    path = tmp_path / "demo.journal"
    synthetic.write(path, "demo", 3)
    rng = np.random.default_rng(0)
    with path.open("a") as file:
        for text in ("nonsense", "vit_tiny@x vit_base@448", "vit_tiny@448; odd", ["a", "list"]):
            line = synthetic.trial_line(3, synthetic.space().design(0), rng, user_attrs={"design": text})
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    trials = of(read(path, "demo"), {})
    assert len(trials) == 7
    assert Filters().mask(trials).all()
    assert Filters(branches=(1, 2, 3)).mask(trials).tolist() == [True] * 3 + [False] * 4


def test_failed_trials_have_no_score_and_are_no_front(trials: Trials) -> None:
    failed = trials.unscored["failed"]
    assert failed.sum() == 5
    assert not (failed & trials.scored).any()
    assert np.isnan(trials.score[failed]).all()
    assert trials.finished == 100


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(branches=(2,)),
        Filters(models=("vit_tiny", "vit_base")),
        Filters(resolution=(448, 672)),
        Filters(interactions=(4, 6), merge=("linear",)),
    ],
)
def test_filters_keep_what_fits(trials: Trials, filters: Filters) -> None:
    mask = filters.mask(trials)
    for text, kept in zip(trials.designs, mask, strict=True):
        design = Design.parse(text)
        models = {branch.model for branch in design.branches}
        low, high = filters.resolution or (0, 10**6)
        fits = (
            (not filters.branches or len(design.branches) in filters.branches)
            and set(filters.models) <= models
            and low <= design.resolution <= high
            and (not filters.interactions or design.interaction.count in filters.interactions)
            and (not filters.merge or design.merge.kind in filters.merge)
        )
        assert kept == fits
    assert mask.any()


points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=30)


@settings(max_examples=50)
@given(points, st.booleans(), st.booleans())
def test_front_rows_against_the_definition(found: list[tuple[int, int]], more_x: bool, more_y: bool) -> None:
    x, y = np.array(found, dtype=float).T
    rows = front_rows(x, y, (ChartAxis("x", more_x), ChartAxis("y", more_y)), np.ones(len(x), dtype=bool))
    losses = np.column_stack([-x if more_x else x, -y if more_y else y])

    def dominated(point: np.ndarray) -> bool:
        return bool(((losses <= point).all(axis=1) & (losses < point).any(axis=1)).any())

    assert {tuple(losses[row]) for row in rows} == {tuple(point) for point in losses if not dominated(point)}
    assert (np.diff(x[rows]) >= 0).all()


def test_quantities_follow_the_accounting(trials: Trials) -> None:
    axis, values = trials.quantities("built")["gflops"]
    assert "built" in axis.label
    np.testing.assert_allclose(values, trials.floats("gflops_published") * 1.07)
    assert "latency" not in trials.quantities("built")


def test_a_study_of_another_program_is_a_sentence(tmp_path: Path) -> None:
    import optuna

    path = tmp_path / "plain.journal"
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    storage = optuna.storages.JournalStorage(backend)
    optuna.create_study(storage=storage, study_name="plain", directions=["maximize", "minimize"])
    with pytest.raises(InputError, match="not made by 'piip-explore search'"):
        of(read(path, "plain"), {})
    storage.set_study_user_attr(0, "format", 99)
    with pytest.raises(InputError, match="newer version"):
        of(read(path, "plain"), {})

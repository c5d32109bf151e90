"""Slices through a study, on the study that comes with the program and on one whose scores are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from piip_explore.dashboard.studies import EXAMPLE
from piip_explore.errors import InputError
from piip_explore.search.columns import Columns, read
from piip_explore.search.slices import slices


@pytest.fixture(scope="module")
def columns() -> Columns:
    """The example, its scores replaced: a point per interaction and three more for a first branch at 896 pixels."""
    found = read(EXAMPLE / "demo.journal", "demo")
    values = found.values.copy()
    values[:, 0] = found.params["interactions"] + 3.0 * (found.params["branch1.resolution"] == 896)
    return replace(found, values=values)


def test_a_slice_follows_what_the_score_follows(columns: Columns) -> None:
    found, trust = slices(columns, [4])
    assert trust > 0.5
    by_axis = {one.axis: one for one in found}
    assert {found[0].axis, found[1].axis} == {"interactions", "branch1.resolution"}
    interactions = by_axis["interactions"]
    assert interactions.values == (3, 6)
    assert interactions.values[interactions.place[0]] == columns.params["interactions"].iloc[4]
    assert interactions.score[0, 1] > interactions.score[0, 0] + 1
    resolution = by_axis["branch1.resolution"]
    assert list(resolution.values) == sorted(resolution.values)
    assert resolution.values[int(np.argmax(resolution.score[0]))] == 896


def test_designs_have_rows_of_their_own(columns: Columns) -> None:
    found, _ = slices(columns, [4, 12])
    for one in found:
        assert one.score.shape == (2, len(one.values))
        assert one.spread.shape == one.score.shape
    own = [one.score[np.arange(2), list(one.place)] for one in found]
    assert np.ptp(own, axis=0) == pytest.approx([0, 0]), "every slice passes through the design itself"


def test_a_study_that_cannot_be_sliced_is_a_sentence(columns: Columns) -> None:
    with pytest.raises(InputError, match="slices need 12 full runs or more"):
        slices(columns.select(np.arange(5)), [4])
    alike = pd.DataFrame({"interactions": [3] * len(columns)})
    with pytest.raises(InputError, match="share every choice"):
        slices(replace(columns, params=alike), [4])

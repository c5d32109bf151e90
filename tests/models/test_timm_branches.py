"""Branches against timm's models: from a stored file everywhere, and against timm itself where it is installed."""

from __future__ import annotations

import pytest
import torch

from tests.models import timm_branches as cases


@pytest.mark.parametrize("model", cases.CASES)
def test_a_branch_gives_what_timm_gave(model: str) -> None:
    wanted = cases.stored()[model]
    tokens = cases.ours(model, cases.made(wanted["shapes"]))
    assert cases.few(tokens) == pytest.approx(wanted["values"], abs=1e-5)


@pytest.mark.parametrize("model", cases.CASES)
def test_a_branch_gives_what_timm_gives(model: str) -> None:
    pytest.importorskip("timm", reason="timm is in the environment of training: make test-train")
    state, tokens = cases.theirs(model)
    torch.testing.assert_close(cases.ours(model, state), tokens, atol=1e-5, rtol=0)
    made, stored = cases.entry(state, tokens), cases.stored()[model]
    assert made["shapes"] == stored["shapes"]
    assert made["values"] == pytest.approx(stored["values"], abs=1e-5)

"""Which pictures a step sees, and at which rate it learns."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from piip_explore import Design
from piip_explore.export.recipe import published
from piip_explore.models import build
from piip_explore.train import optimizer
from piip_explore.train.samples import reseed, shares

DESIGN = Design.parse("vit[depth=2,dim=32,heads=2]@32 vit[depth=4,dim=64,heads=2]@16; interactions=2; heads=2")


@given(
    count=st.integers(4, 40), share=st.integers(1, 3), world=st.integers(1, 3), at_once=st.integers(1, 4),
    seed=st.integers(0, 9), start=st.integers(0, 9),
)  # fmt: skip
def test_a_step_sees_the_same_pictures_on_any_number_of_devices_and_after_any_resume(
    count: int, share: int, world: int, at_once: int, seed: int, start: int
) -> None:
    batch = share * world
    if batch > count:
        return
    per_epoch = count // batch
    whole = list(shares(count, batch, batch, 0, 1, seed, range(3 * per_epoch)))
    for epoch in range(3):
        seen = [key for step in whole[epoch * per_epoch : (epoch + 1) * per_epoch] for key in step]
        assert len(set(seen)) == len(seen) == per_epoch * batch
        assert {e for e, _ in seen} == {epoch}
    parts = math.ceil(share / at_once)
    for step in range(min(start, 3 * per_epoch), 3 * per_epoch):
        mine = [list(shares(count, batch, at_once, rank, world, seed, range(step, step + 1))) for rank in range(world)]
        assert all(len(of_rank) == parts and all(len(part) <= at_once for part in of_rank) for of_rank in mine)
        assert sorted(key for of_rank in mine for part in of_rank for key in part) == sorted(whole[step])


def test_a_place_in_the_run_decides_what_is_drawn() -> None:
    def draw(*place: int) -> tuple[float, float, float]:
        reseed(*place)
        return torch.rand(()).item(), float(np.random.rand()), random.random()

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({draw(0, 1, 2), draw(0, 2, 1), draw(1, 1, 2)}) == 3


def test_rates_by_hand() -> None:
    recipe = replace(published(DESIGN, "detection"), epochs=12, warmup_epochs=0.5)
    at = [optimizer.rate(recipe, step, 120, 10) for step in (0, 4, 5, 79, 80, 109, 110, 119)]
    assert at == pytest.approx([1 / 6, 5 / 6, 1, 1, 0.1, 0.1, 0.01, 0.01])  # 8 and 11 of 12 epochs, as 1x has it
    poly = replace(recipe, schedule="poly", warmup_epochs=0)
    assert [optimizer.rate(poly, step, 100, 10) for step in (0, 50, 99)] == pytest.approx([1, 0.5, 0.01])
    cosine = replace(recipe, schedule="cosine", warmup_epochs=0)
    assert [optimizer.rate(cosine, step, 100, 10) for step in (0, 50)] == pytest.approx([1, 0.5])


def test_the_rate_falls_by_layer_over_the_depth_that_branches_share() -> None:
    recipe = replace(published(DESIGN, "detection"), layer_decay=0.5, new_lr_scale=3.0)
    network = build(DESIGN)
    made = optimizer.make(network, network, recipe)
    of = {id(p): (group["scale"], group["weight_decay"]) for group in made.param_groups for p in group["params"]}
    scales = {name: of[id(parameter)] for name, parameter in network.named_parameters()}
    assert len(of) == len(scales)
    # Branch 2 has the lowest resolution and four blocks; a block of branch 1 counts as two of its layers.
    assert scales["branches.1.blocks.3.mlp.fc1.weight"] == (0.5, 0.05)
    assert scales["branches.1.blocks.0.mlp.fc1.weight"] == (0.5**4, 0.05)
    assert scales["branches.1.patch_embed.proj.weight"] == (0.5**5, 0.05)
    assert scales["branches.0.blocks.1.mlp.fc1.weight"] == (0.5, 0.05)
    assert scales["branches.0.blocks.0.mlp.fc1.weight"] == (0.5**3, 0.05)
    assert scales["branches.0.pos_embed"] == (0.5**5, 0.0)
    assert scales["branches.0.blocks.0.mlp.fc1.bias"] == (0.5**3, 0.0)
    assert {scale for name, (scale, _) in scales.items() if not name.startswith("branches.")} == {3.0}
    optimizer.set_rate(made, 1e-3)
    assert {group["lr"] for group in made.param_groups} == {1e-3 * scale for scale, _ in scales.values()}

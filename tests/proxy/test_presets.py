"""Presets: every knob counts, and every preset can begin to train what it is for."""

from dataclasses import fields, replace

import pytest
import torch

from piip_explore import Design
from piip_explore.proxy import PRESETS, Preset, preset
from piip_explore.proxy.network import Network
from piip_explore.proxy.tasks import Classification


def test_every_knob_is_in_the_hash(tiny):
    assert {field.name for field in fields(Preset)} - {"name", "data"} | {"data"} == set(tiny.knobs())
    assert replace(tiny, name="other").hash == tiny.hash
    assert replace(tiny, task=replace(tiny.task, dim=16)).hash != tiny.hash
    assert replace(tiny, shrink=replace(tiny.shrink, depth=3)).hash != tiny.hash


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_presets_are_whole(name):
    recipe = preset(name)
    assert recipe.name == name
    assert recipe.task.needs in recipe.data.provides
    merge = "separate-heads" if isinstance(recipe.task, Classification) else "conv"
    sizes = (384, 192) if isinstance(recipe.task, Classification) else (1120, 448)
    design = Design.parse(f"vit_tiny@{sizes[0]} vit_small@{sizes[1]}; merge={merge}")
    recipe.task.check(design)
    small = recipe.shrink(design)
    assert small.branches[0].resolution / small.branches[1].resolution == sizes[0] / sizes[1]
    output = Network(small, recipe)(torch.zeros(2, 3, recipe.size, recipe.size, dtype=torch.uint8))
    assert output.isfinite().all()

"""Parts that are counted on tiny maps against traces at the size itself."""

from dataclasses import replace

import pytest

from piip_explore import catalog
from piip_explore.cost import part_sizes, part_traces


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize(
    "name",
    ["vit_tiny", "clip_base", "beit_base", "intern_vit_6b", "dinov2_reg_giant", "dinov3_small_plus", "pe_core_base"],
)
@pytest.mark.parametrize(("grid", "window"), [(1, None), (13, None), (30, 1), (7, 5), (13, 3), (30, 5)])
def test_a_vit_of_any_size_is_what_its_trace_says(name, class_token, grid, window):
    spec = replace(catalog.MODELS[name], depth=1, dim=64, heads=2)
    counted = part_sizes.vision_transformer(spec, grid, window, class_token)
    traced = part_traces.vision_transformer(spec, grid, None, class_token)
    assert counted.outside == traced["outside"]
    assert counted.global_block == traced["block"]
    if window is None:
        assert counted.windowed_block is None
    else:
        assert counted.windowed_block == part_traces.vision_transformer(spec, grid, window, class_token)["block"]


def test_the_number_of_traces_does_not_grow_with_the_sizes(monkeypatch):
    calls = []
    trace = part_traces.trace
    monkeypatch.setattr(part_traces, "trace", lambda *arguments: calls.append(arguments) or trace(*arguments))
    for grid in range(8, 40):
        part_sizes.vision_transformer(catalog.ViT(1, 48, 3), grid, 7, False)
    assert len(calls) == len(part_traces.SIDES) + 3

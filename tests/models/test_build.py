"""Designs to networks: every family, merge, direction and input shape through one code path."""

import pytest
import torch
import torch.nn.functional as F

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.models import build
from piip_explore.models.layers import scale

TINY, SMALL, BASE = "vit[depth=4,dim=32,heads=2]", "vit[depth=4,dim=64,heads=4]", "vit[depth=8,dim=64,heads=4]"
CONV = "convnext[depths=1-1-2-1,dims=32-32-64-64]"


def outputs(text: str, size: tuple[int, int] | None = None, **options: object) -> list[torch.Tensor]:
    design = Design.parse(text)
    torch.manual_seed(0)
    model = build(design, **options).eval()
    with torch.no_grad():
        result = model(torch.randn(1, 3, *(size or (design.resolution, design.resolution))))
    return result if isinstance(result, list) else [result]


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        (f"{SMALL}@96", [(64, 6, 6)]),
        (f"{CONV}@128", [(64, 4, 4)]),
        (f"{TINY}@160:w4 {SMALL}@96; interactions=4; heads=4", [(64, 40, 40), (64, 20, 20), (64, 10, 10), (64, 5, 5)]),
        (f"{SMALL}@96 {TINY}@160:w4; interactions=4; heads=4; merge=linear", [(64, 10, 10)]),
        (f"{SMALL}@96 {TINY}@160; interactions=4; heads=4; merge=none", [(64, 6, 6), (32, 10, 10)]),
        (f"{SMALL}@96 {TINY}@160; interactions=0; merge=none; out=2", [(32, 10, 10)]),
        (
            f"{CONV}@128 {TINY}@96:w2 {SMALL}@64; interactions=4; heads=4; merge=conv-multilevel",
            [(64, 16, 16), (64, 8, 8), (64, 8, 8), (64, 4, 4)],
        ),
        (
            f"{TINY}@160 {CONV}@128; interactions=4; heads=4; merge=conv-multilevel",
            [(32, 40, 40), (64, 20, 20), (64, 10, 10), (64, 5, 5)],
        ),
        (
            f"{TINY}@160 {SMALL}@128:w3 {CONV}@96 {BASE}@64; interactions=4; heads=4; direction=all; merge=linear",
            [(64, 10, 10)],
        ),
        (f"{TINY}@160 {SMALL}@96; interactions=2; heads=4; merge=separate-heads", [(1000,)]),
        (
            f"{TINY}@64 {TINY}@64 {TINY}@64 {TINY}@64 {TINY}@64; interactions=2; heads=4",
            [(32, 16, 16), (32, 8, 8), (32, 4, 4), (32, 2, 2)],
        ),
    ],
)
def test_output_shapes(text, shapes):
    assert [tuple(x.shape[1:]) for x in outputs(text)] == shapes


def test_inputs_need_not_be_square():
    shapes = [tuple(x.shape[2:]) for x in outputs(f"{TINY}@160:w4 {SMALL}@96; interactions=4; heads=4", (160, 112))]
    assert shapes == [(40, 28), (20, 14), (10, 7), (5, 3)]


def test_images_that_do_not_divide_are_sampled_at_the_exact_ratio():
    images = torch.arange(10.0).expand(1, 1, 10, 10)
    small = scale(images, 3, 4)
    assert small.shape == (1, 1, 7, 7)  # 7.5 pixels, rounded down
    centres = (torch.arange(7) + 0.5) / 0.75 - 0.5
    torch.testing.assert_close(small[0, 0, 0], centres)
    torch.testing.assert_close(small, F.interpolate(images, scale_factor=0.75, mode="bilinear"))
    torch.testing.assert_close(scale(images, 1, 2), F.interpolate(images, size=(5, 5), mode="bilinear"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("vit_tiny@16 vit_base@16; interactions=2", "cannot halve"),
        (f"{CONV}@32 {TINY}@16; interactions=2; heads=4", "'convnext.*@32' ends with a map of one cell"),
        (f"{TINY}@32 {TINY}@16; interactions=2; heads=4", "too little to normalise 32 channels"),
        (f"{TINY}@32 {SMALL}@16; interactions=2; heads=4; merge=linear", None),
        (f"{SMALL}@32 {TINY}@16; interactions=2; heads=4; merge=linear", "too little to normalise 32 channels"),
        (f"{TINY}@32 {TINY}@16; interactions=2; heads=4; merge=none", None),
    ],
)
def test_maps_too_small_for_the_merge_are_refused(text, words):
    design = Design.parse(text)
    if words is None:
        model = build(design).train()
        model(torch.randn(1, 3, design.resolution, design.resolution))
        return
    with pytest.raises(InputError, match=words):
        build(design)


@pytest.mark.parametrize("direction", ["both", "up", "down", "all"])
def test_directions_say_who_is_informed(direction):
    design = Design.parse(
        f"{TINY}@96 {SMALL}@64 {SMALL}@32; interactions=1; heads=4; direction={direction}; merge=none"
    )
    directions = set(build(design).interactions[0].directions)
    up, down = {"1_0", "2_1"}, {"0_1", "1_2"}
    assert directions == {"both": up | down, "up": up, "down": down, "all": up | down | {"0_2", "2_0"}}[direction]


def test_adjacency_follows_resolution_not_text_order():
    design = Design.parse(f"{SMALL}@32 {TINY}@96 {SMALL}@64; interactions=1; heads=4; merge=none")
    assert design.directed_pairs == ((1, 2), (2, 1), (2, 0), (0, 2))
    assert set(build(design).interactions[0].directions) == {"1_2", "2_1", "2_0", "0_2"}


def test_order_of_branches_does_not_change_the_output():
    one = Design.parse(f"{TINY}@96 {SMALL}@64; interactions=2; heads=4; merge=linear")
    two = Design.parse(f"{SMALL}@64 {TINY}@96; interactions=2; heads=4; merge=linear")
    a, b = build(one), build(two)
    state = {}
    for name, value in a.state_dict().items():
        swapped = (
            name.replace("branches.0.", "branches.9.")
            .replace("branches.1.", "branches.0.")
            .replace("branches.9.", "branches.1.")
        )
        for old, new in (("directions.0_1.", "directions.1_0."), ("directions.1_0.", "directions.0_1.")):
            if old in name:
                swapped = name.replace(old, new)
                break
        for kind in ("adapters", "scales"):
            if f"{kind}.0" in name:
                swapped = name.replace(f"{kind}.0", f"{kind}.1")
            elif f"{kind}.1" in name:
                swapped = name.replace(f"{kind}.1", f"{kind}.0")
        state[swapped] = value
    b.load_state_dict(state)
    x = torch.randn(1, 3, 96, 96)
    torch.testing.assert_close(a.eval()(x)[0], b.eval()(x)[0])


def test_classifiers():
    text = f"{TINY}@96 {SMALL}@64; interactions=2; heads=4; merge="
    assert outputs(text + "linear", num_classes=7)[0].shape == (1, 7)
    assert outputs(text + "separate-heads", num_classes=7)[0].shape == (1, 7)
    assert outputs(f"{SMALL}@64", num_classes=7)[0].shape == (1, 7)
    with pytest.raises(InputError, match="merge=conv has no classifier"):
        build(Design.parse(text + "conv"), num_classes=7)


@pytest.mark.parametrize(
    "text",
    [
        f"{TINY}@96:w4 {SMALL}@64; interactions=2; heads=4",
        f"{CONV}@128 {SMALL}@64; interactions=4; heads=4; merge=conv-multilevel",
        f"{TINY}@96:w4 {SMALL}@64; interactions=2; heads=4; attention=regular; merge=separate-heads",
        "vit[depth=2,dim=32,heads=2]@96:w4",
    ],
)
def test_compiles_without_a_graph_break(text):
    torch._dynamo.reset()
    design = Design.parse(text)
    model = build(design).eval()
    x = torch.randn(1, 3, design.resolution, design.resolution)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")(x)
    for got, want in zip(compiled, model(x), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-4)


def test_checkpointing_changes_memory_and_nothing_else():
    design = Design.parse(f"{TINY}@96:w4 {CONV}@64; interactions=2; heads=4; merge=linear")
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build(design, checkpointing=checkpointing).train()
        model(torch.ones(1, 3, 96, 96))[0].square().sum().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name])


def test_the_largest_model_builds_on_the_meta_device():
    with torch.device("meta"):
        model = build(Design.parse("vit_huge@1024 intern_vit_6b@512; merge=linear"))
    assert sum(p.numel() for p in model.parameters()) > 6.5e9
    assert all(p.is_meta for p in model.parameters())


@pytest.mark.parametrize("channels", [1, 4])
def test_images_may_have_other_than_three_channels(channels):
    design = Design.parse(f"{TINY}@96 {CONV}@64; interactions=4; heads=4")
    model = build(design, in_channels=channels)
    maps = model(torch.randn(1, channels, 96, 96))
    assert [tuple(x.shape[1:]) for x in maps] == [tuple(x.shape[1:]) for x in build(design)(torch.randn(1, 3, 96, 96))]

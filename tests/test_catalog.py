"""The catalog's sizes against published figures, and the free models."""

from __future__ import annotations

import pytest

from piip_explore import catalog
from piip_explore.catalog import ConvNeXt, ViT
from piip_explore.errors import InputError


@pytest.mark.parametrize(
    ("name", "depth", "dim", "heads"),
    [
        ("vit_tiny", 12, 192, 3),
        ("vit_small", 12, 384, 6),
        ("vit_base", 12, 768, 12),
        ("vit_large", 24, 1024, 16),
        ("vit_huge", 32, 1280, 16),
        ("intern_vit_6b", 48, 3200, 25),
        ("beit_large", 24, 1024, 16),
        ("clip_base", 12, 768, 12),
    ],
)
def test_vits(name, depth, dim, heads):
    spec = catalog.model(name)
    assert isinstance(spec, ViT)
    assert (spec.depth, spec.dim, spec.heads, spec.patch) == (depth, dim, heads, 16)
    assert spec.blocks == depth
    assert {spec.width(block) for block in range(depth)} == {spec.out_dim} == {dim}
    assert spec.stride(depth - 1) == 16
    assert spec.dim % spec.heads == 0


def test_weights_are_those_of_the_blocks():
    # qkv 3 d^2, projection d^2, MLP 2 x 4 d^2.
    assert catalog.model("vit_base").weights == 12 * 12 * 768**2
    # Two linears of 4 d^2 per block; the down-sampling layers are not blocks.
    assert catalog.model("convnext_tiny").weights == 8 * (3 * 96**2 + 3 * 192**2 + 9 * 384**2 + 3 * 768**2)
    order = ["vit_tiny", "vit_small", "convnext_tiny", "convnext_base", "vit_base", "vit_large", "vit_huge"]
    weights = [catalog.model(name).weights for name in order]
    assert weights == sorted(set(weights))


def test_convnext_blocks_count_their_downsampling_layers():
    spec = catalog.model("convnext_tiny")
    assert isinstance(spec, ConvNeXt)
    assert spec.stages == (0,) * 3 + (1,) * 4 + (2,) * 10 + (3,) * 4
    assert spec.blocks == 21
    assert [spec.width(block) for block in (2, 3, 7, 20)] == [96, 192, 384, 768]
    assert [spec.stride(block) for block in (2, 3, 7, 20)] == [4, 8, 16, 32]
    assert spec.out_dim == 768


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vit_tiny", tuple(range(12))),
        ("vit_large", tuple(range(1, 24, 2))),
        ("intern_vit_6b", tuple(range(3, 48, 4))),
        ("vit_huge", (1, 3, 5, 7, 10, 13, 16, 19, 22, 25, 28, 31)),
        ("convnext_tiny", (2, 6, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20)),
        ("convnext_small", (2, 6, 10, 13, 16, 19, 22, 25, 28, 31, 34, 38)),
        ("convnext[depths=3-3-27-3,dims=8-16-32-64]", (2, 6, 10, 13, 16, 19, 22, 25, 28, 31, 34, 38)),
    ],
)
def test_published_positions_of_twelve_exchanges(name, expected):
    assert catalog.positions(catalog.model(name), 12) == expected


def test_positions_follow_the_rule():
    # floor(depth (k + 1) / N) - 1 for depth 12, N 5: 2.4, 4.8, 7.2, 9.6, 12
    assert catalog.positions(catalog.model("vit_tiny"), 5) == (1, 3, 6, 8, 11)
    assert catalog.positions(catalog.model("vit_huge"), 4) == (7, 15, 23, 31)
    assert catalog.positions(catalog.model("convnext_tiny"), 2) == (9, 20)


def test_the_published_encoder_of_two_exchanges_halves_convnext_a_block_later():
    assert catalog.positions(catalog.model("convnext_base"), 2) == (19, 38)


@pytest.mark.parametrize("name", catalog.MODELS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 11, 12])
def test_positions_rise_to_the_last_block(name, count):
    spec = catalog.model(name)
    positions = catalog.positions(spec, count)
    assert len(positions) == count
    assert list(positions) == sorted(set(positions))
    assert positions[0] >= 0
    assert positions[-1] == spec.blocks - 1


def test_free_models():
    spec = catalog.model("vit[depth=12,dim=160,heads=2]")
    assert spec == ViT(12, 160, 2)
    assert catalog.model("vit[heads=2, dim=32, patch=8, depth=3]") == ViT(3, 32, 2, patch=8)
    assert catalog.model("convnext[dims=24-48-96-192,depths=3-3-9-3]") == ConvNeXt((3, 3, 9, 3), (24, 48, 96, 192))
    assert catalog.model("convnext[depths=1-1-1-1,dims=8-8-8-8,patch=2]").stride(0) == 2


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("vit_base", "vit_base"),
        ("vit[depth=12,dim=768,heads=12]", "vit_base"),
        ("vit[depth=24,dim=1024,heads=16,patch=14]", "vit[depth=24,dim=1024,heads=16,patch=14]"),
        ("convnext[depths=3-3-9-3,dims=96-192-384-768]", "convnext_tiny"),
        ("vit[heads=2, dim=160, depth=12]", "vit[depth=12,dim=160,heads=2]"),
        ("vit[depth=12,dim=160,heads=2,patch=16]", "vit[depth=12,dim=160,heads=2]"),
        ("vit[patch=8,depth=12,dim=160,heads=2]", "vit[depth=12,dim=160,heads=2,patch=8]"),
        ("convnext[dims=8-8-8-8,patch=4,depths=1-1-1-1]", "convnext[depths=1-1-1-1,dims=8-8-8-8]"),
        ("convnext[dims=8-8-8-8,patch=2,depths=1-1-1-1]", "convnext[depths=1-1-1-1,dims=8-8-8-8,patch=2]"),
    ],
)
def test_one_spelling(name, canonical):
    assert catalog.canonical_name(name) == canonical
    assert catalog.model(canonical) == catalog.model(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("vit_tine", "unknown model 'vit_tine': expected one of vit_tiny, vit_small, "),
        ("resnet[depth=3]", "unknown model 'resnet[depth=3]': "),
        ("vit[depth=12,dim=160]", "'vit[depth=12,dim=160]' lacks heads"),
        ("vit[depth=12]", "'vit[depth=12]' lacks dim, heads"),
        (
            "vit[depth=12,dim=160,heads=2,width=3]",
            "'width=3' in 'vit[depth=12,dim=160,heads=2,width=3]': expected each ",
        ),
        ("vit[depth=12,depth=12,dim=160,heads=2]", "'depth=12' in "),
        (
            "vit[depth=0,dim=160,heads=2]",
            "'depth=0' in 'vit[depth=0,dim=160,heads=2]': expected a positive whole number",
        ),
        ("vit[depth=1.5,dim=160,heads=2]", "'depth=1.5' in "),
        ("vit[depth=3-3,dim=160,heads=2]", "'depth=3-3' in 'vit[depth=3-3,dim=160,heads=2]': expected one number"),
        ("vit[depth=12,dim=160,heads=3]", "'vit[depth=12,dim=160,heads=3]': dim 160 is not divisible by heads 3"),
        (
            "convnext[depths=3-3-9,dims=8-8-8]",
            "'convnext[depths=3-3-9,dims=8-8-8]': depths and dims need four numbers ",
        ),
        ("convnext[dims=8-8-8-8]", "'convnext[dims=8-8-8-8]' lacks depths"),
        ("convnext[depths=1-1-1-1,dims=8-8-8-8,patch=2-2]", "'patch=2-2' in "),
    ],
)
def test_every_mistake_has_its_sentence(name, sentence):
    with pytest.raises(InputError) as caught:
        catalog.model(name)
    assert str(caught.value).startswith(sentence), str(caught.value)

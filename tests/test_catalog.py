"""The catalog's sizes against published figures, and the free models."""

from __future__ import annotations

from dataclasses import replace

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
def test_published_positions_of_twelve_interactions(name, expected):
    assert catalog.positions(catalog.model(name), 12) == expected


def test_positions_follow_the_rule():
    # floor(depth (k + 1) / N) - 1 for depth 12, N 5: 2.4, 4.8, 7.2, 9.6, 12
    assert catalog.positions(catalog.model("vit_tiny"), 5) == (1, 3, 6, 8, 11)
    assert catalog.positions(catalog.model("vit_huge"), 4) == (7, 15, 23, 31)
    assert catalog.positions(catalog.model("convnext_tiny"), 2) == (9, 20)


def test_the_published_encoder_of_two_interactions_halves_convnext_a_block_later():
    assert catalog.positions(catalog.model("convnext_base"), 2) == (19, 38)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ViT-T", "vit_tiny"),
        ("ViT-Ti/16", "vit_tiny"),
        ("vit-small", "vit_small"),
        ("VIT_BASE", "vit_base"),
        ("deit3_large_patch16_384.fb_in22k_ft_in1k", "vit_large"),
        ("DINOv2-L", "vit_large"),
        ("InternViT-6B", "intern_vit_6b"),
        ("InternViT-6B-224px", "intern_vit_6b"),
        ("BEiTv2-L", "beit_large"),
        ("CLIP-B", "clip_base"),
        ("vit_base_patch16_clip_224.openai", "clip_base"),
        ("ConvNeXt-B", "convnext_base"),
        ("convnext_tiny.fb_in1k", "convnext_tiny"),
        ("vit_base_patch14_reg4_dinov2.lvd142m", "dinov2_reg_base"),
        ("dinov2_vitg14_reg4_pretrain", "dinov2_reg_giant"),
        ("vit_small_plus_patch16_dinov3.lvd1689m", "dinov3_small_plus"),
        ("dinov3-vith16plus-pretrain-lvd1689m", "dinov3_huge_plus"),
        ("dinov3_vitb16", "dinov3_base"),
        ("vit_giantopt_patch16_siglip_256.v2_webli", "siglip2_giant"),
        ("siglip2-base-patch16-224", "siglip2_base"),
        ("vit_pe_spatial_large_patch14_448.fb", "pe_spatial_large"),
    ],
)
def test_spellings_of_papers_and_timm_mean_the_catalogued_model(spelling, name):
    assert catalog.canonical_name(spelling) == name
    assert catalog.model(spelling) is catalog.MODELS[name]


@pytest.mark.parametrize("spelling", ["vit_base_patch32_224", "ViT-B/32", "vit_base_patch14_dinov2", "ViT-H/14"])
def test_another_patch_is_not_taken_for_the_catalogued_model(spelling):
    with pytest.raises(InputError, match=r"has patches of \d+, and the catalog's 'vit_(base|huge)' of 16: write 'vit_"):
        catalog.model(spelling)


@pytest.mark.parametrize("spelling", ["resnet50", "convnextv2_tiny", "vit_base_r50_s16_384", "vit_giant", "swin_t"])
def test_another_architecture_is_not_taken_for_a_vit(spelling):
    with pytest.raises(InputError, match=f"unknown model '{spelling}': "):
        catalog.model(spelling)


@pytest.mark.parametrize("name", catalog.MODELS)
@pytest.mark.parametrize("count", [1, 2, 3, 7, 11, 12])
def test_positions_rise_to_the_last_block(name, count):
    spec = catalog.model(name)
    positions = catalog.positions(spec, count)
    assert len(positions) == count
    assert list(positions) == sorted(set(positions))
    assert positions[0] >= 0
    assert positions[-1] == spec.blocks - 1


def test_siglip_of_another_patch_is_named():
    with pytest.raises(InputError, match="has patches of 14, and the catalog's 'siglip2_so400m' of 16"):
        catalog.model("vit_so400m_patch14_siglip_378.v2_webli")


@pytest.mark.parametrize(
    ("name", "hidden", "weights"),
    [
        # 4 d^2 of attention, 3 d x 4096 of the gated MLP
        ("dinov2_reg_giant", 4096, 40 * (4 * 1536 + 3 * 4096) * 1536),
        ("dinov3_7b", 8192, 40 * (4 * 4096 + 3 * 8192) * 4096),
        ("siglip2_so400m", 4304, 27 * (4 * 1152 + 2 * 4304) * 1152),
    ],
)
def test_other_mlps(name, hidden, weights):
    spec = catalog.model(name)
    assert (spec.hidden, spec.weights) == (hidden, weights)


def test_no_two_models_have_one_structure_and_size():
    assert len(set(catalog.MODELS.values())) == len(catalog.MODELS)


def test_free_models_take_the_structure_of_a_catalogued_one():
    spec = catalog.model("dinov3_base[depth=3,dim=96,heads=2,patch=8]")
    assert spec == replace(catalog.MODELS["dinov3_large"], depth=3, dim=96, heads=2, patch=8)
    with pytest.raises(InputError, match="unknown model 'convnext_tiny"):
        catalog.model("convnext_tiny[depth=3,dim=96,heads=2]")
    with pytest.raises(InputError, match="heads whose width is a multiple of 4, not 26"):
        catalog.model("dinov3_base[depth=3,dim=52,heads=2]")
    with pytest.raises(InputError, match="no model of the catalog has the structure of"):
        catalog.free_name(ViT(1, 16, 1, registers=3))


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
        ("dinov3_base[depth=3,dim=96,heads=2,patch=16]", "dinov3_tiny[depth=3,dim=96,heads=2]"),
        ("DINOv3-ViTB16[depth=12,dim=768,heads=12]", "dinov3_base"),
        ("vit_base[depth=3,dim=96,heads=2]", "vit[depth=3,dim=96,heads=2]"),
        ("dinov2_reg_base[depth=12,dim=96,heads=2,patch=7]", "dinov2_reg_small[depth=12,dim=96,heads=2,patch=7]"),
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
        ("vit_tine", "unknown model 'vit_tine': did you mean 'vit_tiny'?"),
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

"""ViT and ConvNeXt branches: sizes, names, positions."""

import pytest
import torch

from piip_explore import catalog
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.vit import VisionTransformer

VIT = catalog.ViT(depth=3, dim=16, heads=2, patch=4)
CONVNEXT = catalog.ConvNeXt((1, 2, 1, 1), (8, 16, 24, 32))


def test_vit_has_the_state_dict_names_of_timm():
    names = set(VisionTransformer(VIT, grid=4, class_token=True).state_dict())
    block = {
        f"{part}.{kind}"
        for part in ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")
        for kind in ("weight", "bias")
    } | {"ls1.gamma", "ls2.gamma"}
    expected = {f"blocks.{i}.{name}" for i in range(3) for name in block}
    assert names == expected | {"cls_token", "pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"}


def test_convnext_has_the_state_dict_names_of_timm():
    names = set(ConvNeXtBranch(CONVNEXT).state_dict())
    assert {"stem.0.weight", "stem.1.bias", "stages.1.downsample.0.weight", "stages.1.downsample.1.weight"} <= names
    assert {
        f"stages.1.blocks.1.{n}" for n in ("conv_dw.weight", "norm.bias", "mlp.fc1.weight", "mlp.fc2.bias", "gamma")
    } <= names
    assert not any(name.startswith("stages.0.downsample") for name in names)


@pytest.mark.parametrize("resolution", [64, 96, 100])
def test_convnext_follows_the_catalog_at_every_block(resolution):
    branch = ConvNeXtBranch(CONVNEXT).eval()
    assert len(branch.layers()) == CONVNEXT.blocks
    x, grid = branch.embed(torch.randn(1, 3, resolution, resolution))
    for block in range(CONVNEXT.blocks):
        x, grid = branch.run(x, grid, block, block + 1)
        assert grid == (resolution // CONVNEXT.stride(block),) * 2
        assert x.shape == (1, grid[0] ** 2, CONVNEXT.width(block))


@pytest.mark.parametrize("branch", [VisionTransformer(VIT, grid=4, windows=[2, None, 3]), ConvNeXtBranch(CONVNEXT)])
def test_blocks_run_in_groups_as_at_once(branch):
    branch.eval()
    x, grid = branch.embed(torch.randn(2, 3, 64, 32))
    whole, _ = branch.run(x, grid, 0, branch.spec.blocks)
    part, middle = branch.run(x, grid, 0, 2)
    part, _ = branch.run(part, middle, 2, branch.spec.blocks)
    torch.testing.assert_close(part, whole)


def test_position_embedding_is_resampled_bicubically():
    branch = VisionTransformer(VIT, grid=4)
    torch.nn.init.zeros_(branch.patch_embed.proj.weight)
    torch.nn.init.zeros_(branch.patch_embed.proj.bias)
    x, grid = branch.embed(torch.zeros(1, 3, 24, 32))
    assert grid == (6, 8)
    square = branch.pos_embed.reshape(1, 4, 4, 16).permute(0, 3, 1, 2)
    expected = torch.nn.functional.interpolate(square, size=(6, 8), mode="bicubic", align_corners=False)
    torch.testing.assert_close(x, expected.flatten(2).transpose(1, 2))


def test_class_token_gets_no_position():
    branch = VisionTransformer(VIT, grid=4, class_token=True)
    x, _ = branch.embed(torch.randn(2, 3, 16, 16))
    assert x.shape == (2, 17, 16)
    torch.testing.assert_close(x[:, :1], branch.cls_token.expand(2, -1, -1))


def test_clip_normalises_its_embedding_and_has_no_patch_bias():
    spec = catalog.ViT(2, 16, 2, patch=4, layer_scale=False, embed_norm=True, activation="quick-gelu")
    branch = VisionTransformer(spec, grid=4, class_token=True)
    x, _ = branch.embed(torch.randn(2, 3, 16, 16) * 7 + 3)
    torch.testing.assert_close(x.mean(-1), torch.zeros(2, 17), atol=1e-5, rtol=0)
    assert "patch_embed.proj.bias" not in branch.state_dict()
    assert not any("ls1" in name for name in branch.state_dict())


def test_stochastic_depth_rises_with_depth_and_keeps_the_mean():
    torch.manual_seed(0)
    branch = VisionTransformer(VIT, grid=4, drop_path=0.5)
    assert [block.drop_path.rate for block in branch.blocks] == [0.0, 0.25, 0.5]
    drop = branch.blocks[2].drop_path
    kept = drop(torch.ones(4000, 1))
    assert set(kept.unique().tolist()) == {0.0, 2.0}
    assert abs(kept.mean().item() - 1) < 0.1
    assert torch.equal(drop.eval()(torch.ones(3, 1)), torch.ones(3, 1))

"""Pre-trained weights under every family's names (written out here by hand) into the branch that they are for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from piip_explore import catalog
from piip_explore.errors import InputError
from piip_explore.models.convnext import ConvNeXtBranch
from piip_explore.models.vit import VisionTransformer
from piip_explore.models.weights import load_branch

DIM, HEADS, GRID = 32, 2, 4


def noise(*shape: int) -> Tensor:
    return torch.randn(*shape) / 10


def linear(name: str, out: int, inner: int) -> dict[str, Tensor]:
    return {f"{name}.weight": noise(out, inner), f"{name}.bias": noise(out)}


def norm(name: str, dim: int = DIM) -> dict[str, Tensor]:
    return {f"{name}.weight": noise(dim), f"{name}.bias": noise(dim)}


def timm_block(index: int, scales: str | None) -> dict[str, Tensor]:
    block = f"blocks.{index}"
    state = norm(f"{block}.norm1") | norm(f"{block}.norm2")
    state |= linear(f"{block}.attn.qkv", 3 * DIM, DIM) | linear(f"{block}.attn.proj", DIM, DIM)
    state |= linear(f"{block}.mlp.fc1", 4 * DIM, DIM) | linear(f"{block}.mlp.fc2", DIM, 4 * DIM)
    return state | ({f"{block}.{scales.format(n)}": noise(DIM) for n in (1, 2)} if scales else {})


def timm_vit(scales: str | None, prefix: int = 1, side: int = GRID, patch: int = 16) -> dict[str, Tensor]:
    embed = {"patch_embed.proj.weight": noise(DIM, 3, patch, patch), "patch_embed.proj.bias": noise(DIM)}
    position = {"pos_embed": noise(1, side * side + prefix, DIM), "cls_token": noise(1, 1, DIM)}
    return embed | position | timm_block(0, scales) | timm_block(1, scales) | norm("norm")


def vit(class_token: bool = False, windows: list[int | None] | None = None, **spec: object) -> VisionTransformer:
    return VisionTransformer(catalog.ViT(2, DIM, HEADS, **spec), GRID, windows, class_token)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("scales", "prefix", "extra"),
    [
        ("gamma_{}", 0, {"head.weight": noise(10, DIM)}),  # DeiT III: no class slot among the positions
        (None, 1, {"head.weight": noise(10, DIM), "pre_logits.fc.weight": noise(DIM, DIM)}),  # DeiT, AugReg
        (None, 2, {"dist_token": noise(1, 1, DIM), "head_dist.weight": noise(10, DIM)}),  # DeiT, distilled
        (None, 1, {"mask_token": noise(1, 1, DIM), "decoder_blocks.0.norm1.weight": noise(DIM)}),  # MAE
        ("ls{}.gamma", 1, {"mask_token": noise(1, DIM), "register_tokens": noise(1, 4, DIM)}),  # DINOv2
    ],
    ids=["deit3", "deit", "deit-distilled", "mae", "dinov2"],
)
def test_timm_names(scales: str | None, prefix: int, extra: dict[str, Tensor]) -> None:
    state = timm_vit(scales, prefix) | extra
    branch = vit()
    report = load_branch(branch, state)
    assert report.family.startswith("timm")
    assert set(report.left_out) == {*extra, "cls_token", "norm.weight", "norm.bias"}
    assert len(report.initial) == (0 if scales else 4)
    assert torch.equal(branch.pos_embed, state["pos_embed"][:, prefix:])
    own = branch.state_dict()
    assert torch.equal(own["blocks.1.attn.qkv.weight"], state["blocks.1.attn.qkv.weight"])
    assert torch.equal(own["blocks.1.ls2.gamma"], state["blocks.1." + scales.format(2)] if scales else torch.ones(DIM))


def test_positions_and_patches_are_resampled() -> None:
    state = timm_vit("gamma_{}", prefix=1, side=7, patch=14)
    rows = torch.linspace(0, 1, 7)
    state["pos_embed"] = torch.cat(
        [torch.full((1, 1, DIM), 99.0), rows.repeat_interleave(7)[None, :, None].expand(1, 49, DIM)], 1
    )
    state["patch_embed.proj.weight"] = torch.full((DIM, 3, 14, 14), 2.0)
    branch = vit()
    load_branch(branch, state)
    assert branch.pos_embed.shape == (1, 16, DIM)
    square = branch.pos_embed.view(4, 4, DIM)
    assert torch.allclose(square, square[:, :1].expand(4, 4, DIM), atol=1e-6)  # constant along a row, as before
    assert (square.diff(dim=0) > 0).all()
    assert torch.allclose(square.mean(), torch.tensor(0.5), atol=1e-3)
    assert torch.allclose(branch.patch_embed.proj.weight, torch.full((DIM, 3, 16, 16), 2.0))


def test_a_class_token_keeps_its_position() -> None:
    state = timm_vit(None)
    branch = vit(class_token=True)
    report = load_branch(branch, state)
    assert torch.equal(branch.cls_token, state["cls_token"] + state["pos_embed"][:, :1])
    assert "cls_token" in report.loaded


def test_clip() -> None:
    names = "vision_model."
    state = {
        f"{names}embeddings.class_embedding": noise(DIM),
        f"{names}embeddings.patch_embedding.weight": noise(DIM, 3, 14, 14),
        f"{names}embeddings.position_embedding.weight": noise(26, DIM),
        f"{names}embeddings.position_ids": torch.arange(26)[None],
        "text_model.final_layer_norm.weight": noise(DIM),
        "visual_projection.weight": noise(DIM, DIM),
        "logit_scale": torch.ones(()),
        **norm(f"{names}pre_layrnorm"),
        **norm(f"{names}post_layernorm"),
    }
    for index in range(2):
        layer = f"{names}encoder.layers.{index}"
        state |= norm(f"{layer}.layer_norm1") | norm(f"{layer}.layer_norm2")
        state |= linear(f"{layer}.mlp.fc1", 4 * DIM, DIM) | linear(f"{layer}.mlp.fc2", DIM, 4 * DIM)
        for kind in ("q_proj", "k_proj", "v_proj", "out_proj"):
            state |= linear(f"{layer}.self_attn.{kind}", DIM, DIM)
    branch = vit(True, layer_scale=False, embed_norm=True, activation="quick-gelu")
    report = load_branch(branch, state)
    assert report.family.startswith("CLIP")
    own = branch.state_dict()
    layer = f"{names}encoder.layers.1.self_attn"
    joined = torch.cat([state[f"{layer}.{kind}_proj.weight"] for kind in "qkv"])
    assert torch.equal(own["blocks.1.attn.qkv.weight"], joined)
    first = state[f"{names}embeddings.position_embedding.weight"][0]
    assert torch.equal(own["cls_token"][0, 0], state[f"{names}embeddings.class_embedding"] + first)
    assert own["patch_embed.proj.weight"].shape == (DIM, 3, 16, 16)
    assert report.initial == ()


def test_beitv2() -> None:
    state = timm_vit("gamma_{}")
    del state["pos_embed"]
    table = noise(7 * 7 + 3, HEADS)
    for index in range(2):
        del state[f"blocks.{index}.attn.qkv.bias"]
        state |= {f"blocks.{index}.attn.{kind}_bias": noise(DIM) for kind in "qv"}
        state |= {f"blocks.{index}.attn.relative_position_bias_table": table}
        state |= {f"blocks.{index}.attn.relative_position_index": torch.zeros(17, 17)}
    branch = vit(position="relative", windows=[None, 3])
    report = load_branch(branch, state)
    assert report.family == "BEiTv2"
    own = branch.state_dict()
    query, value = (state[f"blocks.0.attn.{kind}_bias"] for kind in "qv")
    assert torch.equal(own["blocks.0.attn.qkv.bias"], torch.cat([query, torch.zeros(DIM), value]))
    assert torch.equal(own["blocks.0.attn.bias.relative_position_bias_table"], table[:49])
    assert own["blocks.1.attn.bias.relative_position_bias_table"].shape == (25, HEADS)
    shared = {name: t for name, t in state.items() if "relative_position_bias_table" not in name}
    load_branch(branch, shared | {"rel_pos_bias.relative_position_bias_table": 2 * table})
    assert torch.equal(branch.state_dict()["blocks.0.attn.bias.relative_position_bias_table"], 2 * table[:49])


def test_internvit_of_hugging_face() -> None:
    state = {
        "embeddings.class_embedding": noise(1, 1, DIM),
        "embeddings.patch_embedding.weight": noise(DIM, 3, 14, 14),
        "embeddings.patch_embedding.bias": noise(DIM),
        "embeddings.position_embedding": noise(1, 17, DIM),
    }
    for index in range(2):
        layer = f"encoder.layers.{index}"
        state |= {f"{layer}.attn.qkv.weight": noise(3 * DIM, DIM), **linear(f"{layer}.attn.proj", DIM, DIM)}
        state |= {f"{layer}.{name}.weight": noise(DIM) for name in ("norm1", "norm2", "attn.q_norm", "attn.k_norm")}
        state |= linear(f"{layer}.mlp.fc1", 4 * DIM, DIM) | linear(f"{layer}.mlp.fc2", DIM, 4 * DIM)
        state |= {f"{layer}.ls{n}": noise(DIM) for n in (1, 2)}
    branch = vit(qkv_bias=False, norm="rms", qk_norm=True)
    report = load_branch(branch, state)
    assert (report.initial, report.left_out) == ((), ("embeddings.class_embedding",))
    assert torch.equal(branch.state_dict()["blocks.1.ls2.gamma"], state["encoder.layers.1.ls2"])


def test_uni_perceiver() -> None:
    embed = "visual_embed.patch_embed"
    state = {
        f"{embed}.proj.weight": noise(DIM, 3, 16, 16),
        f"{embed}.proj.bias": noise(DIM),
        f"{embed}.spatial_pos_embed.weight": noise(16, DIM),
        f"{embed}.temporal_pos_embed.weight": noise(8, DIM),
        **norm("visual_embed.embeddings_norm"),
    }
    for index in range(2):
        layer = f"layers.{index}"
        state |= norm(f"{layer}.norm1") | norm(f"{layer}.norm2") | linear(f"{layer}.self_attn.out_proj", DIM, DIM)
        state |= {f"{layer}.self_attn.in_proj_weight": noise(3 * DIM, DIM)}
        state |= {f"{layer}.self_attn.in_proj_bias": noise(3 * DIM)}
        state |= linear(f"{layer}.linear1", 4 * DIM, DIM) | linear(f"{layer}.linear2", DIM, 4 * DIM)
        state |= {f"{layer}.gamma_{n}": noise(DIM) for n in (1, 2)}
    branch = vit()
    report = load_branch(branch, state)
    assert report.initial == ()
    assert "visual_embed.embeddings_norm.weight" in report.left_out
    position = state[f"{embed}.spatial_pos_embed.weight"] + state[f"{embed}.temporal_pos_embed.weight"][0]
    assert torch.equal(branch.pos_embed[0], position)


CONVNEXT = catalog.ConvNeXt((1, 2), (8, 16))
_ORIGINAL = {"stem": "downsample_layers.0", "down": "downsample_layers.{s}", "block": "stages.{s}.{b}"}
_ORIGINAL |= {"dw": "dwconv", "norm": "norm", "fc": "pwconv", "gamma": "gamma", "end": "norm"}
_HF = {"down": "encoder.stages.{s}.downsampling_layer", "block": "encoder.stages.{s}.layers.{b}"}
_HF |= {"dw": "dwconv", "norm": "layernorm", "fc": "pwconv", "gamma": "layer_scale_parameter", "end": "layernorm"}
_TIMM = {"stem": "visual.trunk.stem", "down": "visual.trunk.stages.{s}.downsample", "end": "visual.trunk.head.norm"}
_TIMM |= {
    "block": "visual.trunk.stages.{s}.blocks.{b}",
    "dw": "conv_dw",
    "norm": "norm",
    "fc": "mlp.fc",
    "gamma": "gamma",
}


@pytest.mark.parametrize("names", [_ORIGINAL, _HF, _TIMM], ids=["original", "hugging-face", "timm-clip"])
def test_convnext(names: dict[str, str]) -> None:
    first, second = ("embeddings.patch_embeddings", "embeddings.layernorm")
    if "stem" in names:
        first, second = (f"{names['stem']}.{i}" for i in (0, 1))
    state = {f"{first}.weight": noise(8, 3, 4, 4), f"{first}.bias": noise(8), **norm(second, 8)}
    down = names["down"].format(s=1)
    state |= norm(f"{down}.0", 8) | {f"{down}.1.weight": noise(16, 8, 2, 2), f"{down}.1.bias": noise(16)}
    for stage, (depth, dim) in enumerate(zip(CONVNEXT.depths, CONVNEXT.dims, strict=True)):
        for index in range(depth):
            block = names["block"].format(s=stage, b=index)
            state |= {f"{block}.{names['dw']}.weight": noise(dim, 1, 7, 7), f"{block}.{names['dw']}.bias": noise(dim)}
            state |= norm(f"{block}.{names['norm']}", dim) | {f"{block}.{names['gamma']}": noise(dim)}
            state |= linear(f"{block}.{names['fc']}1", 4 * dim, dim) | linear(f"{block}.{names['fc']}2", dim, 4 * dim)
    state |= norm(names["end"], 16)
    branch = ConvNeXtBranch(CONVNEXT)
    report = load_branch(branch, state)
    assert report.initial == ()
    assert report.left_out == (f"{names['end']}.weight", f"{names['end']}.bias")
    block = names["block"].format(s=1, b=1)
    own = branch.state_dict()
    assert torch.equal(own["stages.1.blocks.1.mlp.fc2.weight"], state[f"{block}.{names['fc']}2.weight"])
    assert torch.equal(own["stages.1.downsample.1.weight"], state[f"{down}.1.weight"])


def test_what_does_not_fit_is_listed_and_changes_nothing() -> None:
    branch = vit()
    before = {name: tensor.clone() for name, tensor in branch.state_dict().items()}
    state = timm_vit("gamma_{}")
    del state["blocks.1.norm2.bias"]
    state |= {"surprise": noise(1), "blocks.0.mlp.fc1.weight": noise(5, DIM)}
    with pytest.raises(InputError) as refusal:
        load_branch(branch, state)
    for words in ("blocks.1.norm2.bias is missing", "surprise is unknown", "blocks.0.mlp.fc1.weight has shape (5, 32)"):
        assert words in str(refusal.value)
    with pytest.raises(InputError, match="no known family"):
        load_branch(branch, {"conv1.weight": noise(1)})
    with pytest.raises(InputError, match="do not fit"):  # a ResNet-like or a deeper model
        load_branch(branch, timm_vit("gamma_{}") | timm_block(2, "gamma_{}"))
    with pytest.raises(InputError, match="do not fit"):
        load_branch(ConvNeXtBranch(CONVNEXT), timm_vit("gamma_{}"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in branch.state_dict().items())

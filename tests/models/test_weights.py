"""Pre-trained weights under every family's names (written out here by hand) into the branch that they are for."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace

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
    assert report.family.startswith(("timm", "DINOv2"))
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


def test_more_channels_start_as_the_network_of_the_first_three() -> None:
    state, windows = timm_vit("gamma_{}", prefix=0), [None] * 2
    rgb, four = vit(), VisionTransformer(catalog.ViT(2, DIM, HEADS), GRID, windows, in_channels=4)
    for branch in (rgb, four):
        load_branch(branch, state)
    images = torch.randn(1, 4, 64, 64)
    assert torch.allclose(four.embed(images)[0], rgb.embed(images[:, :3])[0], atol=1e-6)
    assert not four.patch_embed.proj.weight[:, 3].any()


@pytest.mark.parametrize("channels", [1, 2])
def test_fewer_channels_see_grey_pictures_as_three_do(channels: int) -> None:
    state, windows = timm_vit("gamma_{}", prefix=0), [None] * 2
    rgb, fewer = vit(), VisionTransformer(catalog.ViT(2, DIM, HEADS), GRID, windows, in_channels=channels)
    for branch in (rgb, fewer):
        load_branch(branch, state)
    grey = torch.randn(1, 1, 64, 64)
    seen = [branch.embed(grey.expand(-1, n, -1, -1))[0] for branch, n in ((rgb, 3), (fewer, channels))]
    assert torch.allclose(*seen, atol=1e-5)


def test_a_file_of_other_channels_fits_a_branch_of_as_many_alone() -> None:
    state = timm_vit("gamma_{}", prefix=0)
    state["patch_embed.proj.weight"] = noise(DIM, 4, 16, 16)
    four = VisionTransformer(catalog.ViT(2, DIM, HEADS), GRID, [None] * 2, in_channels=4)
    load_branch(four, state)
    assert torch.equal(four.patch_embed.proj.weight, state["patch_embed.proj.weight"])
    with pytest.raises(InputError, match=r"patch_embed\.proj\.weight has shape \(32, 4, 16, 16\), expected \(32, 3"):
        load_branch(vit(), state)


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


def of_model(name: str, **other: object) -> tuple[VisionTransformer, dict[str, Tensor]]:
    """Return a narrow branch of a catalogued structure, and random weights under the names that its file has."""
    spec = replace(catalog.MODELS[name], depth=2, dim=DIM, heads=HEADS, **other)  # type: ignore[type-var]
    branch = VisionTransformer(spec, GRID, None, spec.class_token)
    return branch, {name: noise(*tensor.shape) for name, tensor in branch.state_dict().items()}


def test_dinov3_of_its_authors() -> None:
    branch, own = of_model("dinov3_small_plus")
    state = {name: tensor for name, tensor in own.items() if ".mlp.fc1." not in name and name != "reg_token"}
    state |= {"storage_tokens": own["reg_token"], "mask_token": noise(1, DIM), "rope_embed.periods": noise(4)}
    for index in range(2):
        block = f"blocks.{index}"
        state = {name.replace(f"{block}.mlp.fc2", f"{block}.mlp.w3"): tensor for name, tensor in state.items()}
        state[f"{block}.attn.qkv.bias_mask"] = torch.tensor([1.0, 0.0, 1.0]).repeat_interleave(DIM)
        for kind in ("weight", "bias"):
            gate, rest = own[f"{block}.mlp.fc1.{kind}"].chunk(2)
            state |= {f"{block}.mlp.w1.{kind}": gate, f"{block}.mlp.w2.{kind}": rest}
    report = load_branch(branch, state | norm("norm"))
    assert (report.family, report.initial) == ("DINOv3", ())
    assert set(report.left_out) == {"mask_token", "rope_embed.periods", "norm.weight", "norm.bias"}
    loaded = branch.state_dict()
    for name, tensor in loaded.items():
        if name.endswith("attn.qkv.bias"):
            own[name][DIM : 2 * DIM] = 0  # the keys' part is masked
        assert torch.equal(tensor, own[name]), name


def test_dinov3_of_timm_may_lack_a_bias_of_zeros() -> None:
    branch, state = of_model("dinov3_base")
    state = {name: tensor for name, tensor in state.items() if not name.endswith("attn.qkv.bias")}
    report = load_branch(branch, state)
    assert report.initial == ("blocks.0.attn.qkv.bias", "blocks.1.attn.qkv.bias")
    assert not branch.state_dict()["blocks.1.attn.qkv.bias"].any()


def test_registers_of_dinov2s_authors() -> None:
    branch, own = of_model("dinov2_reg_base", patch=16)
    state = {name: tensor for name, tensor in own.items() if name not in ("reg_token", "pos_embed")}
    state |= {"register_tokens": own["reg_token"], "pos_embed": noise(1, 1 + GRID**2, DIM)}
    report = load_branch(branch, state)
    assert report.family == "DINOv2 (with registers)"
    assert torch.equal(branch.reg_token, own["reg_token"])
    assert torch.equal(branch.cls_token, own["cls_token"] + state["pos_embed"][:, :1])


@pytest.mark.parametrize("name", ["dinov3_small_plus", "dinov2_reg_giant", "pe_core_base", "siglip2_base"])
def test_a_branch_loads_what_it_gives(name: str) -> None:
    branch, own = of_model(name)
    load_branch(branch, own)
    assert all(torch.equal(tensor, own[name]) for name, tensor in branch.state_dict().items())


def full_size(name: str) -> dict[str, Tensor]:
    """Return names and shapes of a catalogued model's file, with as good as no values."""
    spec = catalog.MODELS[name]
    assert isinstance(spec, catalog.ViT)
    with torch.device("meta"):
        branch = VisionTransformer(spec, GRID, None, spec.class_token)
    return {name: torch.zeros(()).expand(tensor.shape) for name, tensor in branch.state_dict().items()}


def test_weights_of_another_branch_model_are_named() -> None:
    core = {"attn_pool.latent": noise(1, 1, DIM)}
    vit_tiny = VisionTransformer(catalog.MODELS["vit_tiny"], GRID)  # type: ignore[arg-type]
    for name, extra, words in (
        ("dinov3_base", {}, "DINOv3 weights do not fit the branch: they were trained with rotary positions"),
        ("dinov3_small_plus", {}, "pos_embed is missing"),
        ("pe_core_small", core, "PE core (timm) weights do not fit the branch"),
    ):
        state = full_size(name) | extra
        if "plus" in name:
            state = {n.replace("mlp.fc1.", "mlp.fc1_g."): t for n, t in state.items()}
        with pytest.raises(InputError, match=f"of the branch model '{name}': choose it in the design$") as refusal:
            load_branch(vit_tiny, state)
        assert words in str(refusal.value)


def test_other_rotary_positions_are_refused() -> None:
    pe, own = of_model("pe_core_base")
    clip = own | {"pos_embed": noise(1, 1 + 14**2, DIM)} | norm("norm")
    with pytest.raises(InputError, match="trained without rotary positions, which the branch has"):
        load_branch(pe, clip)
    spatial = own | {"pos_embed": noise(1, 1 + 32**2, DIM)}
    with pytest.raises(InputError, match="trained with rotary positions of a map of 32, the branch's are of 14"):
        load_branch(pe, spatial)
    load_branch(pe, own | {"pos_embed": noise(1, 1 + 14**2, DIM)})


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
    five = ConvNeXtBranch(CONVNEXT, in_channels=5)
    load_branch(five, state)
    assert torch.equal(five.stem[0].weight[:, :3], state[f"{first}.weight"])
    assert not five.stem[0].weight[:, 3:].any()


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


INNER = "blocks.0.mlp.fc1.weight"

ODD = {
    "NaN": (INNER, lambda t: t * torch.nan, "holds numbers that are not finite as float32"),
    "one infinity": (INNER, lambda t: t.index_fill(0, torch.tensor([3]), torch.inf), "not finite"),
    "overflowed fp16": (INNER, lambda t: (t * 1e8).half(), "not finite"),
    "beyond fp32": (INNER, lambda t: t.double() * 1e300, "not finite as float32"),
    "NaN in a class token": ("cls_token", lambda t: t * torch.nan, "cls_token holds numbers that are not finite"),
    "NaN in positions": ("pos_embed", lambda t: t * torch.nan, "pos_embed holds numbers that are not finite"),
    "int8": (INNER, lambda t: (t * 10).to(torch.int8), "is stored as int8"),
    "float8": (INNER, lambda t: t.to(torch.float8_e4m3fn), "is stored as float8_e4m3fn"),
    "bool": (INNER, lambda t: t > 0, "is stored as bool"),
    "complex": (INNER, lambda t: t.to(torch.complex64), "is stored as complex64"),
    "quantised": (INNER, lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8), "is stored as qint8"),
    "sparse": (INNER, lambda t: t.to_sparse(), "is sparse"),
    "meta": (INNER, lambda t: t.to("meta"), "has no values"),
    "empty": (INNER, lambda t: t[:0], "is empty"),
    "no tensor": (INNER, lambda t: t.tolist(), "is not a tensor but a list"),
    "empty positions": ("pos_embed", lambda t: t[:, :0], "pos_embed is empty"),
    "positions of no square": ("pos_embed", lambda t: t[:, :15], "pos_embed has shape"),
    "positions of a rectangle": ("pos_embed", lambda t: t[:, 1:].reshape(1, 2, 8, DIM), "pos_embed has shape"),
    "positions of several images": ("pos_embed", lambda t: t[:, 1:].reshape(2, 8, DIM), "pos_embed has shape"),
    "a patch of 16 x 8": ("patch_embed.proj.weight", lambda t: t[..., :8], "patch_embed.proj.weight has shape"),
}


@pytest.mark.parametrize("case", ODD)
def test_what_no_weights_are_is_refused(case: str) -> None:
    name, change, words = ODD[case]
    branch = vit(class_token=True)
    before = {name: tensor.clone() for name, tensor in branch.state_dict().items()}
    with pytest.raises(InputError, match=words) as refusal:
        load_branch(branch, (state := timm_vit(None)) | {name: change(state[name])})
    assert name in str(refusal.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in branch.state_dict().items())


def clip_vit() -> dict[str, Tensor]:
    state = {"embeddings.class_embedding": noise(DIM), "embeddings.patch_embedding.weight": noise(DIM, 3, 14, 14)}
    state |= {"embeddings.position_embedding.weight": noise(26, DIM), **norm("pre_layrnorm")}
    layer = "encoder.layers.0"
    state |= norm(f"{layer}.layer_norm1") | norm(f"{layer}.layer_norm2")
    for kind in ("q_proj", "k_proj", "v_proj", "out_proj"):
        state |= linear(f"{layer}.self_attn.{kind}", DIM, DIM)
    return state


def beit() -> dict[str, Tensor]:
    state = timm_vit("gamma_{}")
    for index in range(2):
        del state[f"blocks.{index}.attn.qkv.bias"]
        state |= {f"blocks.{index}.attn.{kind}_bias": noise(DIM) for kind in "qv"}
    del state["pos_embed"]
    return state | {"rel_pos_bias.relative_position_bias_table": noise(7 * 7 + 3, HEADS)}


def uni() -> dict[str, Tensor]:
    embed = "visual_embed.patch_embed"
    return {
        f"{embed}.proj.weight": noise(DIM, 3, 16, 16),
        f"{embed}.spatial_pos_embed.weight": noise(16, DIM),
        f"{embed}.temporal_pos_embed.weight": noise(8, DIM),
    }


@pytest.mark.parametrize("shape", [(), (1,), (7,), (3, 5), (2, 3, 5), (2, 3, 4, 5), (2, 3, 2, 2, 2)], ids=str)
@pytest.mark.parametrize("make", [lambda: timm_vit(None), clip_vit, beit, uni], ids=["timm", "clip", "beit", "uni"])
def test_a_tensor_of_any_shape_is_loaded_or_refused(
    make: Callable[[], dict[str, Tensor]], shape: Sequence[int]
) -> None:
    branches = [vit(class_token=True), vit(position="relative", windows=[None, 3]), ConvNeXtBranch(CONVNEXT)]
    state = make()
    for name in state:
        for branch in branches:
            with contextlib.suppress(InputError):  # anything else is a traceback
                load_branch(branch, state | {name: torch.randn(shape)})


def test_what_is_no_table_of_tensors_is_said() -> None:
    for wrong, words in (
        ("x.pth", "not a str"),
        ([noise(1)], "not a list"),
        ({3: noise(1)}, "3 is not a name"),
    ):
        with pytest.raises(InputError, match=words):
            load_branch(vit(), wrong)  # type: ignore[arg-type]


def test_positions_of_a_square_keep_it_in_any_form() -> None:
    state = timm_vit(None)
    for position in (state["pos_embed"], state["pos_embed"][0], state["pos_embed"].transpose(0, 1)):
        branch = vit()
        load_branch(branch, state | {"pos_embed": position})
        assert torch.equal(branch.pos_embed, state["pos_embed"][:, 1:])
    branch = vit()
    load_branch(branch, state | {"pos_embed": state["pos_embed"][:, 1:].reshape(1, GRID, GRID, DIM)})
    assert torch.equal(branch.pos_embed, state["pos_embed"][:, 1:])

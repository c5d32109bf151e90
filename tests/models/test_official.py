"""The authors' models: the reference files with weights, inputs and outputs of their implementation."""

import json
import pathlib

import pytest
import torch
from safetensors import safe_open

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export.conversion import to_official
from piip_explore.models import build, load_official
from piip_explore.official.names import our_name
from piip_explore.official.network import read_network

PARITY = sorted((pathlib.Path(__file__).parent / "parity").glob("*.safetensors"))


def read(path):
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    state = {key.removeprefix("state."): value for key, value in tensors.items() if key.startswith("state.")}
    return metadata["family"], json.loads(metadata["config"]), state, tensors


@pytest.mark.parametrize("path", PARITY, ids=lambda path: path.stem)
def test_outputs_agree_with_the_authors_implementation(path):
    family, config, state, tensors = read(path)
    model = load_official(family, config, state).eval()
    image = tensors["input"].requires_grad_()
    got = model(image)
    got = got if isinstance(got, list) else [got]
    want = [tensors[key] for key in sorted(tensors) if key.startswith("output.")]
    assert [g.shape for g in got] == [w.shape for w in want]
    for g, w in zip(got, want, strict=True):
        assert ((g - w).norm() / w.norm()).item() <= 1e-5
    sum(g.square().sum() for g in got).backward()
    assert torch.isfinite(image.grad).all()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_all_reference_models_are_here():
    assert len(PARITY) == 6


@pytest.mark.parametrize("path", PARITY, ids=lambda path: path.stem)
def test_renaming_loses_no_tensor(path):
    family, config, state, _ = read(path)
    model = load_official(family, config, state)
    unread = {name for name in model.unused if not name.endswith("[:, :1]")}
    assert len(model.state_dict()) == len(state) - len(unread)


def test_weights_that_do_not_fit_are_listed():
    family, config, state, _ = read(PARITY[1])
    broken = dict(state)
    del broken["cls_norm.weight"]
    broken["surprise"] = torch.zeros(1)
    broken["branch1.pos_embed"] = torch.zeros(1, 16, 99)
    with pytest.raises(InputError, match="do not fit") as error:
        load_official(family, config, broken)
    for words in ("head.norm.weight is missing", "surprise is unknown", "branches.2.pos_embed has shape (1, 16, 99)"):
        assert words in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t / 0, "holds numbers that are not finite"),
        (lambda t: t.to(torch.int8), "is stored as int8"),
        (lambda t: t.to_sparse(), "is sparse"),
        (lambda t: t.to("meta"), "has no values"),
    ],
)
def test_what_no_weights_are_is_refused(change, words):
    family, config, state, _ = read(PARITY[1])
    name = next(name for name in state if name.endswith("mlp.fc1.weight"))
    with pytest.raises(InputError, match=rf"mlp\.fc1\.weight {words}"):
        load_official(family, config, state | {name: change(state[name])})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"with_cffn": False}, "with_cffn=False is broken"),
        ({"branch1": {"pretrained": "x"}}, "branch1: real_size=None, expected a positive whole number"),
    ],
)
def test_arguments_that_cannot_be_loaded_are_named(change, words):
    family, config, state, _ = read(PARITY[-1])
    with pytest.raises(InputError, match=words):
        load_official(family, config | change, state)
    with pytest.raises(InputError, match="expected one of classification"):
        load_official("depth", config, state)


def test_names_of_both_directions():
    unit = "interactions.3.interaction_units_12."
    assert our_name(unit + "branch1to2_proj.weight", 3, "conv") == "interactions.3.directions.2_1.proj.weight"
    assert our_name(unit + "branch2to1_injector.attn.value_proj.bias", 3, "conv") == (
        "interactions.3.directions.1_2.attn.value_proj.bias"
    )
    assert our_name("merge_branch2.4.bias", 2, "linear") == "merge.sums.0.adapters.0.2.bias"
    assert our_name("branch4.blocks.7.gamma_2", 4, "conv") == "branches.0.blocks.7.ls2.gamma"


def three_branches(**options):
    """Arguments of a small three-branch detection model whose largest branch is a ViT beside a ConvNeXt."""
    vit = {"patch_size": 16, "num_heads": 2, "qkv_bias": True, "interaction_indexes": [[0, 0], [1, 1], [2, 2], [3, 3]]}
    convnext = {"depths": [1, 1, 1, 1], "hidden_sizes": [32, 32, 64, 64]}
    return {
        "with_cffn": True,
        "interact_attn_type": "deform",
        "deform_num_heads": 4,
        "deform_ratio": 0.5,
        "branch1": {**vit, "real_size": 64, "depth": 4, "embed_dim": 64, "pretrained": "deit_b"},
        "branch2": {
            "real_size": 96,
            "pretrained": "convnext-a",
            "convnext": convnext,
            "interaction_indexes": [[0, 0], [1, 2], [3, 4], [5, 6]],
        },
        "branch3": {**vit, "real_size": 128, "depth": 4, "embed_dim": 32, "pretrained": "deit_t"},
        **options,
    }


def fresh_state(config, design):
    """Return random weights under the authors' names for the network of a design."""
    torch.manual_seed(0)
    model = build(design)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model.eval(), to_official(model.state_dict(), read_network(config, "detection"))


BESIDE_CONVNEXT = (
    "vit[depth=4,dim=32,heads=2]@128 convnext[depths=1-1-1-1,dims=32-32-64-64]@96 vit[depth=4,dim=64,heads=2]@64; "
    "interactions=4; heads=4"
)


def test_a_vit_as_largest_branch_keeps_its_up_convolutions_without_the_simple_pyramid():
    config = three_branches(with_simple_fpn=False, out_interaction_indexes=[0, 1, 2])
    model, state = fresh_state(config, Design.parse(f"{BESIDE_CONVNEXT}; merge=conv-multilevel"))
    assert state["fpn1.0.weight"].shape == (64, 64, 2, 2)
    image = torch.randn(1, 3, 128, 128)
    for got, want in zip(load_official("detection", config, state).eval()(image), model(image), strict=True):
        assert torch.equal(got, want)


def test_a_dino_detector_reads_three_levels():
    config = three_branches(is_dino=True)
    model, state = fresh_state(config, Design.parse(BESIDE_CONVNEXT))
    image = torch.randn(1, 3, 128, 128)
    with_unread = load_official("detection", config, state).eval()
    assert {name for name in with_unread.unused if "layernorm" not in name} == {
        f"fpn1.{layer}.{kind}" for layer in (0, 1, 3) for kind in ("weight", "bias")
    }
    without = {name: tensor for name, tensor in state.items() if not name.startswith("fpn1")}
    for network in (with_unread, load_official("detection", config, without).eval()):
        for got, want in zip(network(image), model(image)[1:], strict=True):
            assert torch.equal(got, want)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"with_simple_fpn": False}, "with_simple_fpn=False merges after three of the first 3 interactions"),
        ({"with_simple_fpn": False, "out_interaction_indexes": [0, 1, 2], "is_dino": True}, "only the final map"),
        ({"branch3": three_branches()["branch2"]}, "cannot merge so with a ConvNeXt as last branch"),
    ],
)
def test_pyramids_that_the_authors_code_cannot_build_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        load_official("detection", three_branches(**options), {})


def test_a_classification_branch_without_model_type_is_a_deit():
    family, config, state, _ = read(next(path for path in PARITY if path.stem == "cls3_merged"))
    bare = {
        key: {k: v for k, v in value.items() if k != "model_type"} if isinstance(value, dict) else value
        for key, value in config.items()
    }
    image = torch.randn(1, 3, 128, 128)
    got = load_official(family, bare, state).eval()(image)
    assert torch.equal(got, load_official(family, config, state).eval()(image))

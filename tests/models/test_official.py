"""The authors' models: the reference files with weights, inputs and outputs of their implementation."""

import json
import pathlib

import pytest
import torch
from safetensors import safe_open

from piip_explore.errors import InputError
from piip_explore.models import load_official
from piip_explore.models.official_names import our_name

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
        ({"with_cffn": False}, "with_cffn=False is broken"),
        ({"branch1": {"pretrained": "x"}}, "lacks its size"),
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
    assert our_name("merge_branch2.4.bias", 2, "linear") == "merge.sums.-1.adapters.0.2.bias"
    assert our_name("branch4.blocks.7.gamma_2", 4, "conv") == "branches.0.blocks.7.ls2.gamma"

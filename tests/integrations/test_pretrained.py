"""Branches start from models of both libraries: names and shapes are known, and ConvNeXt computes the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

pytest.importorskip("timm", reason="timm has an environment of its own: make test-train")
pytest.importorskip("transformers", reason="transformers has an environment of its own: make test-train")

import timm
import transformers

from piip_explore import Design, catalog
from piip_explore.models import build
from piip_explore.models.vit import VisionTransformer
from piip_explore.models.weights import load_branch

IMAGES = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_a_vit_of_timm_is_loaded():
    with torch.device("meta"):
        shapes = timm.create_model("vit_tiny_patch16_224").state_dict()
    state = {name: torch.rand(tensor.shape) for name, tensor in shapes.items()}
    network = build(Design.parse("vit_tiny@448 vit_tiny@224"))
    for branch in network.branches:
        report = load_branch(branch, state)
        assert set(report.left_out) == {"norm.weight", "norm.bias", "head.weight", "head.bias", "cls_token"}
        assert torch.equal(branch.blocks[11].mlp.fc2.weight, state["blocks.11.mlp.fc2.weight"])


@pytest.mark.parametrize(
    ("theirs", "ours"), [("deit3_small_patch16_224", "vit_small"), ("vit_base_patch16_clip_224", "clip_base")]
)
def test_narrower_vits_of_timm_are_loaded(theirs, ours):
    state = timm.create_model(theirs, depth=2, embed_dim=64, num_heads=2).state_dict()
    branch = VisionTransformer(replace(catalog.model(ours), depth=2, dim=64, heads=2), 14, class_token=True)
    report = load_branch(branch, state)
    assert torch.equal(branch.blocks[1].attn.qkv.weight, state["blocks.1.attn.qkv.weight"])
    assert {name.split(".")[0] for name in report.left_out} <= {"norm", "fc_norm", "head"}


def test_a_convnext_of_timm_computes_the_same():
    theirs = timm.create_model("convnext_tiny").eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    ours = build(Design.parse("convnext_tiny@64")).eval()
    load_branch(ours.branches[0], theirs.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(ours(IMAGES)[0], theirs.stages(theirs.stem(IMAGES)), atol=1e-5, rtol=1e-5)


def test_a_convnext_of_transformers_computes_the_same():
    theirs = transformers.ConvNextModel(transformers.ConvNextConfig(layer_norm_eps=1e-6)).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    ours = build(Design.parse("convnext_tiny@64")).eval()
    load_branch(ours.branches[0], theirs.state_dict())
    with torch.no_grad():
        want = theirs(IMAGES, output_hidden_states=True).hidden_states[-1]
        torch.testing.assert_close(ours(IMAGES)[0], want, atol=1e-5, rtol=1e-5)


def test_a_clip_of_transformers_is_loaded():
    size = {"hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 2, "num_hidden_layers": 2}
    state = transformers.CLIPVisionModel(transformers.CLIPVisionConfig(patch_size=16, **size)).state_dict()
    branch = VisionTransformer(replace(catalog.model("clip_base"), depth=2, dim=64, heads=2), 14, class_token=True)
    assert load_branch(branch, state).family == "CLIP (Hugging Face)"
    (name,) = (name for name in state if name.endswith("encoder.layers.1.mlp.fc1.weight"))
    assert torch.equal(branch.blocks[1].mlp.fc1.weight, state[name])

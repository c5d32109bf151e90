"""A design as a timm model: the network that `build` makes, behind timm's interface."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("timm", reason="timm has an environment of its own: make test-train")

import timm

import piip_explore.integrations.timm  # noqa: F401 - registers the model
from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export.checkpoints import OurWeights, our_file
from piip_explore.models import build

TWO = "vit[depth=2,dim=32,heads=2]@64 vit[depth=2,dim=64,heads=2]@32; interactions=2; heads=2; merge="


def create(text, **options):
    torch.manual_seed(0)
    return timm.create_model("piip", design=text, **options).eval()


def built(text, **options):
    torch.manual_seed(0)
    return build(Design.parse(text), **options).eval()


def test_it_is_registered():
    assert timm.list_models("piip*") == ["piip"]
    assert timm.is_model("piip")


@pytest.mark.parametrize(
    ("text", "channels", "reduction"),
    [
        (TWO + "conv", [64, 64, 64, 64], [4, 8, 16, 32]),
        (TWO + "linear", [64], [16]),
        (TWO + "none", [32, 64], [16, 32]),
        (TWO + "separate-heads", [32, 64], [16, 32]),
        ("convnext[depths=1-1-1-1,dims=32-32-64-96]@64", [96], [32]),
    ],
)
def test_features_are_those_of_the_built_network(text, channels, reduction):
    model, network = create(text, features_only=True), built(text)
    network.head = None
    assert (model.feature_info.channels(), model.feature_info.reduction()) == (channels, reduction)
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        found, expected = model(images), network(images)
    assert len(found) == len(expected)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert [x.shape[1] for x in found] == channels
    assert [96 / x.shape[3] for x in found] == reduction


def test_out_indices_choose_maps():
    images = torch.randn(1, 3, 64, 64)
    model = create(TWO + "conv", features_only=True, out_indices=(1, -1))
    with torch.no_grad():
        found, expected = model(images), built(TWO + "conv")(images)
    assert model.feature_info.reduction() == [8, 32]
    assert torch.equal(found[0], expected[1])
    assert torch.equal(found[1], expected[3])
    with pytest.raises(InputError, match=r"out_indices \(4,\): .* has maps 0 to 3"):
        create(TWO + "conv", features_only=True, out_indices=(4,))


@pytest.mark.parametrize("merge", ["linear", "separate-heads"])
def test_logits_are_those_of_the_built_network(merge):
    model, network = create(TWO + merge, num_classes=7), built(TWO + merge, num_classes=7)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(images), network(images))
    assert model.num_classes == 7


def test_without_classes_the_features_are_pooled():
    model = create(TWO + "linear", num_classes=0)
    images = torch.randn(2, 3, 64, 64)
    pooled = model(images)
    assert pooled.shape == (2, model.num_features) == (2, 64)
    torch.testing.assert_close(model.forward_head(model.forward_features(images), pre_logits=True), pooled)
    model.reset_classifier(5)
    assert model(images).shape == (2, 5)


def test_data_pipelines_and_optimizers_of_timm_read_the_model():
    from timm.data import resolve_model_data_config
    from timm.optim import create_optimizer_v2

    model = create(TWO + "linear", num_classes=3)
    assert resolve_model_data_config(model)["input_size"] == (3, 64, 64)
    undecayed = next(
        g for g in create_optimizer_v2(model, "adamw", weight_decay=0.1).param_groups if not g["weight_decay"]
    )
    assert any(parameter is model.pyramid.branches[0].pos_embed for parameter in undecayed["params"])


def test_weights_of_a_training_are_loaded(tmp_path):
    network = built(TWO + "linear", num_classes=5)
    torch.nn.init.normal_(network.merge.sums[0].scales["0"])
    path = tmp_path / "weights.safetensors"
    path.write_bytes(our_file(OurWeights(Design.parse(TWO + "linear"), network.state_dict(), {})))
    overlay = {"file": str(path), "num_classes": 5}
    images = torch.randn(1, 3, 64, 64)
    model = create(TWO + "linear", pretrained=True, pretrained_cfg_overlay=overlay)
    with torch.no_grad():
        assert torch.equal(model(images), network(images))
    other = create(TWO + "linear", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=7, in_chans=4)
    assert other(torch.randn(1, 4, 64, 64)).shape == (1, 7)
    assert torch.equal(other.pyramid.branches[1].pos_embed, network.branches[1].pos_embed)
    features = create(TWO + "linear", pretrained=True, pretrained_cfg_overlay=overlay, features_only=True)
    network.head = None
    with torch.no_grad():
        assert torch.equal(features(images)[0], network(images)[0])


def test_checkpointing_changes_no_gradient():
    images, gradients = torch.randn(1, 3, 64, 64), []
    for checkpointing in (False, True):
        model = create(TWO + "conv", features_only=True).train()
        model.model.set_grad_checkpointing(checkpointing)
        sum(x.square().mean() for x in model(images)).backward()
        gradients.append(model.model.pyramid.branches[0].patch_embed.proj.weight.grad)
    assert torch.equal(*gradients)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "timm's model 'piip' needs a design"),
        ({"design": "vit_tinny@448"}, "vit_tiny"),
        ({"design": TWO + "conv"}, "merge=conv makes maps and no classifier: .*features_only=True"),
        ({"design": TWO + "separate-heads", "num_classes": 0}, "no pooled features to return for num_classes=0"),
        (
            {"design": "vit_tiny@224 vit_tiny@448; merge=none", "features_only": True},
            "has maps of strides 32, 16: timm wants them rising",
        ),
    ],
)
def test_what_cannot_be_is_said(options, sentence):
    with pytest.raises(InputError, match=sentence):
        timm.create_model("piip", **options)

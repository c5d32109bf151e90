"""A design as a Hugging Face backbone: built, saved, loaded, and under the heads of that library."""

from __future__ import annotations

import json

import pytest
import torch

pytest.importorskip("transformers", reason="transformers has an environment of its own: make test-train")

import transformers
from safetensors.torch import load_file, save_file

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.integrations.transformers import PIIPBackbone, PIIPConfig
from piip_explore.models import build

TWO = "vit[depth=2,dim=32,heads=2]@64 vit[depth=2,dim=64,heads=2]@32; interactions=2; heads=2"


@pytest.fixture(scope="module")
def backbone():
    torch.manual_seed(0)
    model = PIIPBackbone(PIIPConfig(design=TWO)).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    return model


def maps(model, images):
    with torch.no_grad():
        return model(images).feature_maps


def test_it_is_the_network_that_is_built():
    torch.manual_seed(0)
    model = transformers.AutoBackbone.from_config(PIIPConfig(design=TWO)).eval()
    assert isinstance(model, PIIPBackbone)
    torch.manual_seed(0)
    network = build(Design.parse(TWO)).eval()
    images = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected = network(images)
    assert all(torch.equal(one, other) for one, other in zip(maps(model, images), expected, strict=True))
    assert model.channels == [x.shape[1] for x in expected] == [64] * 4


def test_a_saved_backbone_is_loaded_as_it_was(backbone, tmp_path):
    backbone.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["design"] == TWO
    images = torch.randn(1, 3, 64, 64)
    loaded = PIIPBackbone.from_pretrained(tmp_path).eval()
    assert all(map(torch.equal, maps(loaded, images), maps(backbone, images)))
    assert isinstance(transformers.AutoConfig.from_pretrained(tmp_path), PIIPConfig)


def test_a_file_that_lacks_weights_is_refused(backbone, tmp_path):
    backbone.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["pyramid.branches.1.blocks.0.mlp.fc1.bias"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks 'pyramid\.branches\.1\.blocks\.0\.mlp\.fc1\.bias' of the backbone"):
        PIIPBackbone.from_pretrained(tmp_path)


def test_maps_are_chosen_by_name_or_place(backbone):
    images = torch.randn(1, 3, 64, 64)
    for choice in ({"out_features": ["stage2", "stage4"]}, {"out_indices": [1, 3]}):
        model = PIIPBackbone(PIIPConfig(design=TWO, **choice)).eval()
        model.load_state_dict(backbone.state_dict())
        assert model.channels == [64, 64]
        assert all(map(torch.equal, maps(model, images), (maps(backbone, images)[i] for i in (1, 3))))


def test_blocks_are_recomputed_where_asked_for(backbone):
    images, gradients = torch.randn(1, 3, 64, 64), []
    for enable in (backbone.gradient_checkpointing_disable, backbone.gradient_checkpointing_enable):
        enable()
        backbone.train().zero_grad()
        sum(x.square().mean() for x in backbone(images).feature_maps).backward()
        gradients.append(backbone.pyramid.branches[0].patch_embed.proj.weight.grad.clone())
    assert all(branch.checkpointing for branch in backbone.pyramid.branches)
    assert torch.equal(*gradients)
    backbone.gradient_checkpointing_disable()
    backbone.eval().zero_grad()


def test_upernet_trains_on_it_and_is_saved_with_it(tmp_path):
    torch.manual_seed(0)
    config = transformers.UperNetConfig(
        backbone_config=PIIPConfig(design=TWO),
        hidden_size=16,
        pool_scales=[1, 2],
        auxiliary_channels=8,
        auxiliary_num_convs=1,
        num_labels=5,
    )
    model = transformers.UperNetForSemanticSegmentation(config)
    images, labels = torch.randn(2, 3, 64, 64), torch.randint(0, 5, (2, 64, 64))
    output = model(images, labels=labels)
    assert output.logits.shape == (2, 5, 64, 64)
    output.loss.backward()
    lacking = [n for n, p in model.backbone.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert lacking == []
    model.eval().save_pretrained(tmp_path)
    again = transformers.UperNetForSemanticSegmentation.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        assert torch.equal(again(images).logits, model(images).logits)


def test_mask2former_runs_on_it():
    config = transformers.Mask2FormerConfig(
        backbone_config=PIIPConfig(design=TWO),
        feature_size=32, mask_feature_size=32, hidden_dim=32, encoder_feedforward_dim=16, dim_feedforward=16,
        encoder_layers=1, decoder_layers=2, num_attention_heads=2, num_queries=4, num_labels=3,
    )  # fmt: skip
    model = transformers.Mask2FormerForUniversalSegmentation(config)
    output = model(torch.randn(1, 3, 64, 64))
    assert output.masks_queries_logits.shape[:2] == (1, 4)


def test_rt_detr_runs_on_its_last_three_maps():
    config = transformers.RTDetrConfig(
        backbone_config=PIIPConfig(design=TWO, out_indices=[1, 2, 3]),
        encoder_in_channels=[64, 64, 64], feat_strides=[8, 16, 32], encoder_hidden_dim=16, encoder_ffn_dim=16,
        encoder_attention_heads=2, d_model=16, decoder_in_channels=[16, 16, 16], decoder_ffn_dim=16,
        decoder_attention_heads=2, decoder_layers=1, num_queries=5, num_denoising=0,
    )  # fmt: skip
    output = transformers.RTDetrForObjectDetection(config)(torch.randn(1, 3, 64, 64))
    assert output.pred_boxes.shape == (1, 5, 4)


def test_what_is_no_design_is_said():
    with pytest.raises(InputError, match="vit_tiny"):
        PIIPConfig(design="vit_tinny@448")

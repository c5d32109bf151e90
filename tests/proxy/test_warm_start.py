"""Warm starts: pre-trained once, copied into every candidate, all else fresh."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from piip_explore import Design, models
from piip_explore.errors import InputError
from piip_explore.proxy import Shrink, WarmStart, Weights, warm_start
from piip_explore.proxy.data import source
from piip_explore.proxy.run import Run
from piip_explore.proxy.tasks import Classification
from piip_explore.proxy.warm_start import first_weights

CPU = torch.device("cpu")
DESIGN = Design.parse("vit_tiny@896:w14 vit_small@448; interactions=6; merge=linear")


@pytest.fixture
def warm(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(warm_start, "cache_dir", lambda: tmp_path)
    assert source.cache_dir() != tmp_path  # the samples' own cache stays
    return replace(tiny, warm_start=WarmStart(samples=64, rate=1e-3, resolutions=(448, 896)))


def _run(preset, design=DESIGN, seed=0):
    return Run(preset.shrink(design.sorted()), preset, seed, 1.0, CPU)


def test_branches_are_shared_and_everything_else_is_fresh(warm, tmp_path):
    first, other = (first_weights(_run(warm, seed=seed)).state_dict() for seed in (0, 1))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2  # one per model
    for name, value in first.items():
        shared = torch.equal(value, other[name])
        if name.startswith("pyramid.branches."):
            assert shared, name
    assert not torch.equal(first["head.classify.weight"], other["head.classify.weight"])


def test_pretraining_changes_the_branches_and_happens_once(warm, tmp_path, monkeypatch):
    cold = first_weights(_run(replace(warm, warm_start=None))).state_dict()
    seen = []
    hot = first_weights(_run(warm), progress=lambda *now: seen.append(now)).state_dict()
    name = "pyramid.branches.0.blocks.0.attn.qkv.weight"
    assert not torch.equal(cold[name], hot[name])
    assert {done for done, _, _ in seen} == {0}
    assert {total for _, total, _ in seen} == {_run(warm).samples}
    monkeypatch.setattr(warm_start, "_pretrain", lambda *_: pytest.fail("trained twice"))
    again = first_weights(_run(warm)).state_dict()
    assert all(torch.equal(again[key], hot[key]) for key in hot)


def test_the_same_model_at_another_size_starts_from_the_same_weights(warm, monkeypatch):
    first_weights(_run(warm))
    monkeypatch.setattr(warm_start, "_pretrain", lambda *_: pytest.fail("trained twice"))
    larger = first_weights(_run(warm, Design.parse("vit_tiny@1344 vit_small@672; interactions=6; merge=linear")))
    smaller = first_weights(_run(warm))
    a, b = larger.pyramid.branches[0].state_dict(), smaller.pyramid.branches[0].state_dict()
    assert a["pos_embed"].shape != b["pos_embed"].shape
    assert all(torch.equal(a[key], b[key]) for key in a if key != "pos_embed")


def test_weights_that_the_user_points_to_come_first(warm, tmp_path):
    design = Design.parse("vit_tiny@112 vit[depth=2,dim=64,heads=2]@64; interactions=1; merge=linear")
    source = models.build(Design.parse("vit_tiny@224")).branches[0].state_dict()
    path = tmp_path / "tiny.safetensors"
    save_file({name: value.contiguous() for name, value in source.items()}, path)
    full = replace(warm, shrink=Shrink(1, 1, 1, 1), warm_start=None, weights=(Weights("vit_tiny", path),))
    branches = first_weights(_run(full, design)).pyramid.branches
    loaded = branches[0].state_dict()
    assert loaded["pos_embed"].shape == (1, 49, 192)
    assert all(torch.equal(loaded[name], source[name]) for name in loaded if name != "pos_embed")
    assert full.hash != replace(full, weights=()).hash
    with pytest.raises(InputError, match="shrinks its branch models"):
        replace(warm, weights=(Weights("vit_tiny", path),))
    path.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"tiny\.safetensors"):
        first_weights(_run(full, design))


def test_convolutional_branches_and_class_tokens_start_warm_too(warm):
    first_weights(_run(warm, Design.parse("convnext_tiny@896")))
    labels = replace(warm, task=Classification())
    first_weights(_run(labels, Design.parse("vit_tiny@896 vit_small@448; interactions=6; merge=separate-heads")))

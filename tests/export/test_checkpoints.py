"""Checkpoint files: what is read from them, and those refused without running anything in them."""

from __future__ import annotations

import argparse
import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor

from piip_explore import Design
from piip_explore.errors import InputError
from piip_explore.export.checkpoints import (
    OurWeights,
    find_weights,
    our_file,
    read_checkpoint,
    read_ours,
    torch_file,
)
from piip_explore.models import build
from tests.damage import damaged

PARITY = sorted((Path(__file__).parents[1] / "models" / "parity").glob("*.safetensors"))


def reference(path: Path) -> tuple[str, dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith("state.")]  # noqa: SIM118
        state = {name.removeprefix("state."): file.get_tensor(name) for name in names}
        return file.metadata()["family"], json.loads(file.metadata()["config"]), state


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("wrap", ["plain", "state_dict", "deepspeed", "mmdet", "compiled", "safetensors"])
def test_prefixes_and_wrappers(wrap: str, tmp_path: Path) -> None:
    _, _, state = reference(PARITY[0])
    path = tmp_path / ("model.safetensors" if wrap == "safetensors" else "model.pth")
    content: Any = state
    if wrap == "state_dict":
        content = {"state_dict": {f"module.{name}": t for name, t in state.items()}, "epoch": 3}
    elif wrap == "deepspeed":
        content = {"module": {f"module.backbone.{n}": t for n, t in state.items()}, "args": argparse.Namespace(lr=1.0)}
    elif wrap == "mmdet":
        neck = {"neck.conv.weight": torch.zeros(2), "roi_head.fc.bias": torch.zeros(2)}
        content = {"meta": {"epoch": 1}, "state_dict": {f"backbone.{n}": t for n, t in state.items()} | neck}
    elif wrap == "compiled":
        content = {"model": {f"_orig_mod.{name}": t for name, t in state.items()}}
    if wrap == "safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(content, path)
    read = read_checkpoint(path)
    assert same(read.tensors, state)
    assert read.left_out == (("neck.conv.weight", "roi_head.fc.bias") if wrap == "mmdet" else ())


class Code:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    torch.save({"state_dict": {"a": Code(mark)}}, tmp_path / "zip.pth")
    torch.save({"a": Code(mark)}, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(Code(mark)))
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")
    for name in ("zip.pth", "legacy.pth", "plain.pkl", "module.pth"):
        with pytest.raises(InputError) as refusal:
            read_checkpoint(tmp_path / name)
        assert name in str(refusal.value)
        assert "\n" not in str(refusal.value)
        assert not mark.exists()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    _, _, state = reference(PARITY[0])
    torch.save(state, tmp_path / "whole.pth")
    safetensors.torch.save_file(state, tmp_path / "whole.safetensors")
    for kind in ("pth", "safetensors"):
        whole = (tmp_path / f"whole.{kind}").read_bytes()
        for number, content in enumerate((whole[: len(whole) // 2], whole[:100], b"", b"\x00" * 200, b"hello")):
            path = tmp_path / f"damaged{number}.{kind}"
            path.write_bytes(content)
            with pytest.raises(InputError) as refusal:
                read_checkpoint(path)
            assert path.name in str(refusal.value)
            assert "\n" not in str(refusal.value)
    with pytest.raises(InputError, match="no such file"):
        read_checkpoint(tmp_path / "missing.pth")


def test_other_content_is_refused(tmp_path: Path) -> None:
    for number, content in enumerate(([1, 2], {}, {"a": 1}, {"state_dict": {"a": "text"}}, {1: torch.zeros(1)})):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path)
        with pytest.raises(InputError, match=r"no table|is not a tensor"):
            read_checkpoint(path)


def test_weights_are_found_or_named(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(b"")
    assert find_weights(str(tmp_path / "w.pth")) == tmp_path / "w.pth"
    for name, words in (("gone.pth", "no weights at 'gone.pth'"), ("hub:owner", "expected hub:OWNER/REPOSITORY/FILE")):
        with pytest.raises(InputError, match=words):
            find_weights(name)


def test_our_files_come_back(tmp_path: Path) -> None:
    design = Design.parse("vit[depth=2,dim=32,heads=2]@64 vit[depth=2,dim=64,heads=2]@32; interactions=2; heads=2")
    weights = OurWeights(design, build(design).state_dict(), {"branch1.pos_embed[:, :1]": torch.ones(1, 1, 64)})
    path = tmp_path / "ours.safetensors"
    path.write_bytes(our_file(weights))
    back = read_ours(path)
    assert back.design == design
    assert same(back.state, weights.state)
    assert same(back.unused, weights.unused)
    path = tmp_path / "theirs.pth"
    path.write_bytes(torch_file(weights.state, "model"))
    assert same(read_checkpoint(path).tensors, weights.state)
    with pytest.raises(InputError, match="names no design"):
        read_ours(path)


def test_weights_that_diverged_are_refused(tmp_path: Path) -> None:
    design = Design.parse("vit[depth=2,dim=32,heads=2]@64 vit[depth=2,dim=64,heads=2]@32; interactions=2; heads=2")
    state = build(design).state_dict()
    name = "branches.0.blocks.1.mlp.fc1.weight"
    (tmp_path / "w.safetensors").write_bytes(our_file(OurWeights(design, state | {name: state[name] / 0}, {})))
    with pytest.raises(InputError, match=rf"w\.safetensors': {name} holds numbers that are not finite"):
        read_ours(tmp_path / "w.safetensors")


def test_damaged_weights_are_refused_or_the_same(tmp_path: Path) -> None:
    design = Design.parse("vit[depth=1,dim=8,heads=1]@32")
    state, path = build(design).state_dict(), tmp_path / "w.safetensors"
    path.write_bytes(our_file(OurWeights(design, state, {"norm.bias": torch.ones(3, dtype=torch.bfloat16)})))
    refused = []
    for _ in damaged(path, flips=2000):
        try:
            read = read_ours(path)
        except InputError as error:
            refused.append(str(error))
        else:
            assert read.design == design
            assert same(read.state, state)
    assert len(refused) > 1900
    assert all(str(path) in sentence for sentence in refused)
    assert sum("is damaged: its checksum does not match; run the" in sentence for sentence in refused) > 1500


def test_weights_of_other_programs_and_earlier_versions_have_no_checksum(tmp_path: Path) -> None:
    design = Design.parse("vit[depth=1,dim=8,heads=1]@32")
    state, path = build(design).state_dict(), tmp_path / "w.safetensors"
    for metadata in ({"design": str(design), "format": "piip-explore"}, {"format": "pt", "sha256": "of something"}):
        safetensors.torch.save_file(state, path, metadata)
        assert same(read_checkpoint(path).tensors, state)
    path.write_bytes(our_file(OurWeights(design, state, {})))
    assert same(safetensors.torch.load_file(path), state)

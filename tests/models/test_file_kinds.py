"""What lies under the name of weights is read if it is weights, and called by its own name if not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from piip_explore.errors import InputError
from piip_explore.export.checkpoints import read_checkpoint

WEIGHTS = {"a": torch.arange(2.0)}


@pytest.mark.parametrize("name", ["w.safetensors", "w.SAFETENSORS", "w.pth", "w.bin", "w"])
@pytest.mark.parametrize("save", [save_file, torch.save], ids=["safetensors", "torch"])
def test_weights_are_read_whatever_their_name(name, save, tmp_path: Path) -> None:
    save(WEIGHTS, tmp_path / name)
    assert torch.equal(read_checkpoint(tmp_path / name).tensors["a"], WEIGHTS["a"])


OTHERS = {
    "an LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "Git LFS pointer"),
    "a web page": (b"<!DOCTYPE html><html>Sign in</html>", "a web page"),
    "a web page after blanks": (b"\xef\xbb\xbf\r\n <HTML><body>", "a web page"),
    "an error in XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "error message of a download"),
    "an error in JSON": (b'{"error": "Repository not found"}', "is JSON, not weights"),
    "a packed file": (b"\x1f\x8b\x08\0\0\0\0\0", "packed by gzip"),
    "nothing": (b"", "it is empty"),
    "a GGUF file": (b"GGUF\3\0\0\0" + b"\0" * 40, "a GGUF file"),
}


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize("case", OTHERS)
def test_other_files_are_called_what_they_are(case: str, name: str, tmp_path: Path) -> None:
    content, words = OTHERS[case]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=words) as refusal:
        read_checkpoint(tmp_path / name)
    assert name in str(refusal.value)
    assert "more than tensors" not in str(refusal.value)


def test_an_index_names_the_files_that_hold_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    shards = {f"t{n}": f"model-0000{n}-of-00005.safetensors" for n in range(1, 6)}
    path.write_text(json.dumps({"metadata": {}, "weight_map": shards}))
    with pytest.raises(
        InputError, match=r"index of weights in 5 files beside it \(model-00001-of-00005\.safetensors, "
    ):
        read_checkpoint(path)


def test_an_array_is_no_table(tmp_path: Path) -> None:
    np.save(tmp_path / "w.npy", np.zeros(3))
    with pytest.raises(InputError, match="a NumPy array"):
        read_checkpoint(tmp_path / "w.npy")


def test_packed_arrays_are_read_by_timm(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{"embedding/kernel": np.zeros((2, 2, 3, 4), np.float32)})
    with pytest.raises(InputError, match=r"w\.npz' holds NumPy arrays.*checkpoint_path"):
        read_checkpoint(tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_truncated_weights_are_damaged(name: str, tmp_path: Path) -> None:
    (save_file if "safe" in name else torch.save)({"a": torch.zeros(1000)}, tmp_path / name)
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:200])
    with pytest.raises(InputError, match=name) as refusal:
        read_checkpoint(tmp_path / name)
    assert "more than tensors" not in str(refusal.value)

"""What a file of weights really is, by its first bytes: its name may say something else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from piip_explore.errors import InputError

_HEADER = 100_000_000
"""Longest header of a safetensors file, in bytes, as its reader allows."""

_OTHERS = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file that it stands for: fetch that with `git lfs pull`"),
    (b"# xet version", "a Xet pointer, not the file that it stands for: download that"),
    (b"<!doctype", "a web page: the download met a sign-in or an error page"),
    (b"<html", "a web page: the download met a sign-in or an error page"),
    (b"<?xml", "an XML text, probably the error message of a download"),
    (b"\x1f\x8b", "packed by gzip: unpack it first"),
    (b"7z\xbc\xaf", "a 7z archive: unpack it first"),
    (b"\xfd7zXZ", "packed by xz: unpack it first"),
    (b"(\xb5/\xfd", "packed by zstd: unpack it first"),
    (b"\x89HDF", "an HDF5 file (Keras): expected weights of PyTorch"),
    (b"GGUF", "a GGUF file (llama.cpp): expected weights of PyTorch"),
    (b"\x93NUMPY", "a NumPy array: expected a table of named tensors"),
    (b"%PDF", "a PDF"),
)
"""First bytes of files that are often taken for weights (texts in lower case)."""


def weights_kind(path: Path) -> Literal["safetensors", "torch"]:
    """Return the format of the weights in a file.

    Raises:
        InputError: they are not weights; the sentence says what they are instead.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(4096)
    except OSError as error:
        raise InputError(f"cannot read '{path}': {error.strerror}") from None
    if not start:
        raise InputError(f"cannot read '{path}': it is empty")
    header = int.from_bytes(start[:8], "little")
    if start[8:9] == b"{" and header <= min(_HEADER, size - 8):
        return "safetensors"
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for mark, what in _OTHERS:
        if start.startswith(mark) or text.startswith(mark):
            raise InputError(f"'{path}' is {what}")
    name_length = int.from_bytes(start[26:28], "little")
    if start.startswith(b"PK\x03\x04") and start[30 : 30 + name_length].endswith(b".npy"):
        raise InputError(
            f"'{path}' holds NumPy arrays, as AugReg's files by Google do: "
            "read it with timm.create_model(NAME, checkpoint_path=...) and save its state_dict()"
        )
    if text.startswith(b"{"):
        raise InputError(_json(path))
    zipped_or_pickled = start[:2] in (b"PK", b"\x80\x02")
    return "torch" if zipped_or_pickled or path.suffix.lower() != ".safetensors" else "safetensors"


def _json(path: Path) -> str:
    """Return the sentence on a JSON file in place of weights."""
    try:
        shards = sorted(set(json.loads(path.read_bytes())["weight_map"].values()))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return f"'{path}' is JSON, not weights"
    names = ", ".join(shards[:3]) + (", ..." if len(shards) > 3 else "")
    return f"'{path}' is the index of weights in {len(shards)} files beside it ({names}): join them into one file"

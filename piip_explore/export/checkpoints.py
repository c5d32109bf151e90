"""Checkpoint files in and out, read as tensors only.

Our files are safetensors with the design and a checksum in the metadata; their tensors are named as in `build(design)`.
Tensors of the authors that no network of ours reads (a class slot in a position embedding, the last norm of a ConvNeXt)
are kept under the prefix `official.`, so a round trip loses nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import io
import json
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.extras import need
from piip_explore.models.file_kinds import weights_kind
from piip_explore.models.tensors import not_finite, odd

UNUSED = "official."
"""Prefix, in our files, of the authors' tensors that no network of ours reads."""

_WRAPPERS = ("state_dict", "model", "module", "model_state_dict", "model_state", "net")
_PREFIXES = ("_orig_mod.", "module.", "model.")
_FORMAT = "piip-explore"


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, without wrapper prefixes; `left_out` names what does not belong to the backbone."""

    tensors: dict[str, Tensor] = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a safetensors or PyTorch file on the CPU, tensors only: nothing in the file is ever executed.

    Wrappers (`state_dict`, `model`, DeepSpeed's `module`) and prefixes (`module.`, `model.`, `backbone.`,
    `_orig_mod.`) are removed; where names begin with `backbone.`, the others (neck, heads) are left out.

    Raises:
        InputError: missing, damaged or truncated, or holding anything but tensors and plain values.
    """
    metadata: dict[str, str] = {}
    if not path.is_file():
        raise InputError(f"cannot read '{path}': no such file")
    if weights_kind(path) == "safetensors":
        content, metadata = _read_safetensors(path)
    else:
        content = _read_torch(path)
    tensors = _tensors(content, path)
    kept = _strip(tensors)
    if any(name.startswith("backbone.") for name in kept):
        backbone = {name.removeprefix("backbone."): t for name, t in kept.items() if name.startswith("backbone.")}
        left_out = tuple(name for name in kept if not name.startswith("backbone."))
        return Checkpoint(_strip(backbone), metadata, left_out)
    return Checkpoint(kept, metadata)


def find_weights(name: str) -> Path:
    """Return the local file that `name` means: a path, or `hub:OWNER/REPOSITORY/FILE` on the Hugging Face hub.

    Raises:
        InputError: no such file, or it cannot be fetched.
    """
    if not name.startswith("hub:"):
        if not Path(name).is_file():
            raise InputError(f"no weights at '{name}': expected a file, or hub:OWNER/REPOSITORY/FILE to fetch one")
        return Path(name)
    owner, repository, file = [*name.removeprefix("hub:").split("/", 2), "", "", ""][:3]
    if not file:
        raise InputError(f"'{name}': expected hub:OWNER/REPOSITORY/FILE, such as hub:openai/clip-vit-base-patch16/...")
    need(f"fetching '{name}'", "huggingface_hub")
    hub = importlib.import_module("huggingface_hub")
    try:
        return Path(hub.hf_hub_download(f"{owner}/{repository}", file))
    except Exception as error:  # the hub's client raises its own, its HTTP library's and the system's errors
        raise InputError(f"cannot fetch '{name}': {_first_line(error)}") from None


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise InputError(f"cannot read '{path}' as safetensors: {_first_line(error)}") from None
    seal = metadata.get("sha256") if metadata.get("format") == _FORMAT else None  # earlier versions wrote none
    if seal and seal != _digest(tensors, metadata.get("design", "")):
        raise InputError(
            f"'{path}' is damaged: its checksum does not match; run the `piip-explore train` or `import` that wrote it "
            "again"
        )
    return tensors, metadata


def _read_torch(path: Path) -> Any:
    # A DeepSpeed file holds its command line as an argparse.Namespace: plain data, which reading may make.
    try:
        with torch.serialization.safe_globals([argparse.Namespace]), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about pickle protocols: what matters is raised
            with path.open("rb") as file:  # by a path, PyTorch would go by its suffix
                return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"(?:Unsupported (?:global|class|operand)[^.]*?|GLOBAL )(\w[\w.]+\.\w+)", str(error))
        what = f"it holds more than tensors ({found[1]})" if found else "it is damaged, or not a PyTorch file"
        raise InputError(f"refused to read '{path}': {what}; nothing in it was executed") from None
    except Exception as error:  # whatever the bytes of a damaged file make the reader raise
        raise InputError(f"cannot read '{path}' as PyTorch weights: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:200]


def _tensors(content: Any, path: Path) -> dict[str, Tensor]:
    """Find the table of tensors in what a file holds."""
    for _ in range(3):
        inner = [content[key] for key in _WRAPPERS if isinstance(content, dict) and isinstance(content.get(key), dict)]
        if not inner:
            break
        content = inner[0]
    if not isinstance(content, dict) or not content:
        raise InputError(f"'{path}' holds no table of named tensors")
    odd = [key for key, value in content.items() if not isinstance(key, str) or not isinstance(value, Tensor)]
    if odd:
        raise InputError(f"'{path}': entry {odd[0]!r} is not a tensor; expected a state dict")
    return dict(content)


def _strip(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Remove the prefixes that all names share."""
    while prefix := next((p for p in _PREFIXES if all(name.startswith(p) for name in tensors)), None):
        tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


@dataclass(frozen=True)
class OurWeights:
    """Weights of one of our networks: `state` fits `build(design)`, `unused` are the authors' tensors beside it."""

    design: Design
    state: dict[str, Tensor] = field(repr=False)
    unused: dict[str, Tensor] = field(repr=False)


def our_file(weights: OurWeights) -> bytes:
    """Return our checkpoint file, with the text of the design in its metadata; equal weights make equal bytes."""
    tensors = {name: tensor.detach().contiguous() for name, tensor in weights.state.items()}
    tensors |= {UNUSED + name: tensor.detach().contiguous() for name, tensor in weights.unused.items()}
    design = str(weights.design)
    metadata = {"design": design, "format": _FORMAT, "sha256": _digest(tensors, design)}
    return _sorted_header(safetensors.torch.save(tensors, metadata))


def _digest(tensors: Mapping[str, Tensor], design: str) -> str:
    """Return the SHA-256 of a design's text and of its tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256(design.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _sorted_header(file: bytes) -> bytes:
    """Return a safetensors file with its header's entries by name: its writer orders the metadata at random."""
    length = int.from_bytes(file[:8], "little")
    header = json.dumps(json.loads(file[8 : 8 + length]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + file[8 + length :]


def read_ours(path: Path) -> OurWeights:
    """Read one of our checkpoint files (what `piip-explore import` and `piip-explore train` write).

    Raises:
        InputError: unreadable, not one of ours, or not finite, as a training that diverged leaves weights.
    """
    checkpoint = read_checkpoint(path)
    if "design" not in checkpoint.metadata:
        raise InputError(f"'{path}' names no design: expected a file that piip-explore has written")
    state = {name: t for name, t in checkpoint.tensors.items() if not name.startswith(UNUSED)}
    for name, tensor in state.items():
        if tensor.is_floating_point() and (why := odd(tensor) or not_finite(tensor, tensor.dtype)):
            raise InputError(f"'{path}': {name} {why}")
    unused = {name.removeprefix(UNUSED): t for name, t in checkpoint.tensors.items() if name.startswith(UNUSED)}
    return OurWeights(Design.parse(checkpoint.metadata["design"]), state, unused)


def torch_file(state: Mapping[str, Tensor], wrapper: str) -> bytes:
    """Return a PyTorch file as the authors' training code loads it: a state dict under the name `wrapper`."""
    buffer = io.BytesIO()
    torch.save({wrapper: {name: tensor.clone() for name, tensor in state.items()}}, buffer)
    return buffer.getvalue()

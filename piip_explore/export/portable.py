"""Networks as programs for other runtimes: ONNX and `torch.export`, with deformable attention in plain operators."""

from __future__ import annotations

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from piip_explore.design import Design
from piip_explore.errors import InputError
from piip_explore.export.exporter import Exporter, Files, Origin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor
    from torch.export import ExportedProgram

    from piip_explore.models import Pyramid


@dataclass(frozen=True)
class _Program(Exporter):
    """A network traced at its design's resolution.

    `weights`: one of our checkpoint files of the design; without it the weights are fresh. `batch`: images at once.
    """

    weights: Path | None = None
    batch: int = 1

    def _sidecar(self, design: Design, origin: Origin | None, outputs: int) -> str:
        size = design.resolution
        content = {
            "design": str(design),
            "id": design.id,
            "input": {"name": "images", "shape": [self.batch, 3, size, size], "values": "normalised images, float32"},
            "outputs": [f"output_{number}" for number in range(outputs)],
            "weights": str(self.weights) if self.weights else "fresh",
            "origin": asdict(origin) if origin else None,
        }
        return json.dumps(content, indent=2) + "\n"


@dataclass(frozen=True)
class TorchExport(_Program):
    """A `.pt2` program of `torch.export`, which runs with PyTorch alone."""

    name: ClassVar[str] = "torch-export"

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the program and a JSON file that describes it."""
        import torch

        program, outputs = trace(design, self.weights, self.batch)
        buffer = io.BytesIO()
        with _quiet():
            torch.export.save(program, buffer)
        stem = f"piip_{design.id}"
        return {f"{stem}.pt2": buffer.getvalue(), f"{stem}.json": self._sidecar(design, origin, outputs)}


@dataclass(frozen=True)
class Onnx(_Program):
    """An ONNX model; weights above 1 GB lie in a file beside it."""

    name: ClassVar[str] = "onnx"

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the model and a JSON file that describes it.

        Raises:
            InputError: the packages that write ONNX are missing.
        """
        import torch

        try:
            import onnxscript  # noqa: F401 - torch.onnx needs it
        except ImportError:
            raise InputError("writing ONNX needs two more packages: pip install onnx onnxscript") from None
        program, outputs = trace(design, self.weights, self.batch)
        stem = f"piip_{design.id}"
        with _quiet(), tempfile.TemporaryDirectory() as folder:
            names = [f"output_{number}" for number in range(outputs)]
            made = torch.onnx.export(program, dynamo=True, input_names=["images"], output_names=names, verbose=False)
            assert made is not None
            size = sum(tensor.numel() * tensor.element_size() for tensor in program.state_dict.values())
            made.save(Path(folder) / f"{stem}.onnx", external_data=size > 1e9)
            written = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        return {**written, f"{stem}.json": self._sidecar(design, origin, outputs)}


def trace(design: Design, weights: Path | None = None, batch: int = 1) -> tuple[ExportedProgram, int]:
    """Return the network as a program of plain operators, and how many outputs it has.

    Raises:
        InputError: unreadable weights, or those of another design.
    """
    import torch

    model = _network(design, weights).eval()
    images = torch.zeros(batch, 3, design.resolution, design.resolution)
    with _quiet(), torch.no_grad():
        program = torch.export.export(model, (images,))
        table = torch.export.default_decompositions()
        table[torch.ops.piip.deformable_attention.default] = plain_deformable_attention
        program = program.run_decompositions(table)
    return program, len(program.graph_signature.user_outputs)


def _network(design: Design, weights: Path | None) -> Pyramid:
    import torch

    from piip_explore.models import build

    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(design)
    from piip_explore.export.checkpoints import read_ours
    from piip_explore.export.conversion import in_sorted_order

    ours = read_ours(weights)
    if ours.design.id != design.id:
        raise InputError(f"'{weights}' holds weights of '{ours.design}', not of '{design}'")
    head = next((tensor for name, tensor in ours.state.items() if name in _HEADS), None)
    model = build(design.sorted(), num_classes=None if head is None else head.shape[0])
    try:
        model.load_state_dict(in_sorted_order(ours.state, ours.design))
    except RuntimeError as error:
        raise InputError(f"'{weights}' does not fit '{design}': {str(error).splitlines()[-1].strip()}") from None
    return model


_HEADS = ("head.fc.weight", "head.heads.0.weight")


def plain_deformable_attention(
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
    backend: str = "auto",
) -> Tensor:
    """Compute `piip_explore.ops.deformable_attention` by gathering: operators that every runtime has."""
    import torch

    queries, heads, points = logits.shape[1:]
    (height, width), (query_height, query_width) = key_grid, query_grid
    columns = (2 * torch.arange(query_width) + 1).to(offsets) * width / (2 * query_width) - 0.5
    rows = (2 * torch.arange(query_height) + 1).to(offsets) * height / (2 * query_height) - 0.5
    x = columns.repeat(query_height)[:, None, None] + offsets[..., 0]
    y = rows.repeat_interleave(query_width)[:, None, None] + offsets[..., 1]
    left, top = x.floor(), y.floor()
    attention = logits.softmax(-1)
    values = value.unflatten(2, (heads, -1)).transpose(1, 2)
    out: Tensor | None = None
    for row in (top, top + 1):
        for column in (left, left + 1):
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            weight = attention * (1 - (x - column).abs()) * (1 - (y - row).abs()) * inside
            index = torch.where(inside, row * width + column, 0).long()
            index = index.permute(0, 2, 1, 3).flatten(2)[..., None].expand(-1, -1, -1, values.shape[-1])
            corner = values.gather(2, index).unflatten(2, (queries, points))
            part = (corner * weight.permute(0, 2, 1, 3)[..., None]).sum(3)
            out = part if out is None else out + part
    assert out is not None
    return out.transpose(1, 2).flatten(2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what PyTorch says about its own internals while it exports."""
    noisy = logging.getLogger("torch.onnx")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        noisy.setLevel(level)

"""Networks as programs for other runtimes: ONNX and `torch.export`, with deformable attention in plain operators."""

from __future__ import annotations

import io
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from piip_explore.design import Design
from piip_explore.export.exporter import Exporter, Files, Origin
from piip_explore.extras import need

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from piip_explore.models import Pyramid


@dataclass(frozen=True)
class _Program(Exporter):
    """A network traced at its design's resolution, for batches of any size.

    `weights`: one of our checkpoint files of the design; without it the weights are fresh.
    """

    weights: Path | None = None

    def _sidecar(self, design: Design, origin: Origin | None, channels: int, outputs: int) -> str:
        shape = ["batch", channels, design.resolution, design.resolution]
        content = {
            "design": str(design),
            "id": design.id,
            "input": {"name": "images", "shape": shape, "values": "normalised images, float32"},
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

        from piip_explore.models.program import quiet

        program, channels, outputs = trace(design, self.weights)
        buffer = io.BytesIO()
        with quiet():
            torch.export.save(program, buffer)
        stem = f"piip_{design.id}"
        return {f"{stem}.pt2": buffer.getvalue(), f"{stem}.json": self._sidecar(design, origin, channels, outputs)}


@dataclass(frozen=True)
class Onnx(_Program):
    """An ONNX model; weights above 1 GB go into a file beside it."""

    name: ClassVar[str] = "onnx"

    def files(self, design: Design, origin: Origin | None = None) -> Files:
        """Return the model and a JSON file that describes it.

        Raises:
            InputError: the packages that write ONNX are missing.
        """
        from piip_explore.models.program import write_onnx

        need("writing ONNX", "onnx", "onnxscript")
        program, channels, outputs = trace(design, self.weights)
        stem = f"piip_{design.id}"
        with tempfile.TemporaryDirectory() as folder:
            names = [f"output_{number}" for number in range(outputs)]
            write_onnx(program, Path(folder) / f"{stem}.onnx", ["images"], names)
            written = {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}
        return {**written, f"{stem}.json": self._sidecar(design, origin, channels, outputs)}


def trace(design: Design, weights: Path | None = None) -> tuple[ExportedProgram, int, int]:
    """Return the network as a program of plain operators for any number of images, their channels, and its outputs.

    The images have the channels that the weights were trained for.

    Raises:
        InputError: unreadable weights, or those of another design.
    """
    import torch

    from piip_explore.models.program import program

    network, size = _network(design, weights), design.resolution
    images = torch.zeros(2, network.in_channels, size, size)  # 1 image would be taken for a constant
    traced = program(network, (images,), any_batch=True)
    return traced, network.in_channels, len(traced.graph_signature.user_outputs)


def _network(design: Design, weights: Path | None) -> Pyramid:
    import torch

    from piip_explore.models import build

    if weights is None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return build(design)
    from piip_explore.export.checkpoints import read_ours
    from piip_explore.export.conversion import load_ours

    return load_ours(design, read_ours(weights), weights)

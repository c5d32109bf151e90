"""Networks and parts of them as programs of plain operators, for other runtimes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from piip_explore.models.interaction import DeformableAttention


def program(module: nn.Module, inputs: tuple[Tensor, ...], *, any_batch: bool = False) -> ExportedProgram:
    """Return a module as a program of plain operators, deformable attention included.

    Args:
        module: what to trace; it is put into evaluation mode.
        inputs: examples of what it takes; the program takes these sizes.
        any_batch: the program takes any number of images, the first axis of the first input; give it two or more.
    """
    shapes = ({0: torch.export.Dim("batch")}, *(None for _ in inputs[1:])) if any_batch else None
    with quiet(), torch.no_grad():
        traced = torch.export.export(module.eval(), inputs, dynamic_shapes=shapes)
        table = torch.export.default_decompositions()
        table[torch.ops.piip.deformable_attention.default] = plain_deformable_attention
        return traced.run_decompositions(table)


def write_onnx(traced: ExportedProgram, path: Path, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Write a program as an ONNX model; weights above 1 GB go into a file beside it."""
    with quiet():
        made = torch.onnx.export(traced, dynamo=True, input_names=inputs, output_names=outputs, verbose=False)
    assert made is not None
    size = sum(tensor.numel() * tensor.element_size() for tensor in traced.state_dict.values())
    made.save(path, external_data=size > 1e9)


def trace_onnx(module: nn.Module, inputs: tuple[Tensor, ...], path: Path, names: Sequence[str]) -> None:
    """Write a module as an ONNX model of these sizes by PyTorch's older exporter, in seconds instead of minutes.

    It computes the same; a runtime may run it somewhat slower or faster. `module` is changed: from now on its
    deformable attention consists of plain operators.
    """
    for part in module.modules():
        if isinstance(part, DeformableAttention):
            part.attend = plain_deformable_attention  # type: ignore[method-assign]
    with quiet(), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the tracer: sizes become constants, as they should
        torch.onnx.export(module.eval(), inputs, path, dynamo=False, input_names=names, opset_version=18)


def plain_deformable_attention(
    value: Tensor,
    offsets: Tensor,
    logits: Tensor,
    key_grid: Sequence[int],
    query_grid: Sequence[int],
    backend: str = "auto",
) -> Tensor:
    """Compute `piip_explore.ops.deformable_attention` by gathering: operators that every runtime has."""
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
def quiet() -> Iterator[None]:
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

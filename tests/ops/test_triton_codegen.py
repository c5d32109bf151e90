"""What the compiler makes of the kernels for sm_90 (H100, H200), read from PTX and machine code; no GPU needed."""

import os
import re
import subprocess
from types import SimpleNamespace

import pytest
import torch

triton = pytest.importorskip("triton", reason="Triton is not installed")
if os.environ.get("TRITON_INTERPRET") == "1":
    pytest.skip("the interpreter has replaced the compiler in this process", allow_module_level=True)

import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from piip_explore.ops import triton_backend  # noqa: E402
from piip_explore.ops import triton_kernels as kernels  # noqa: E402
from piip_explore.ops.check import determinism  # noqa: E402
from piip_explore.ops.launch import FORWARD, SAMPLING_GRADIENT, VALUE_GRADIENT, launch, launch_whole_rows  # noqa: E402

HEADS, POINTS = 16, 4
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
WIDTHS = [6, 12, 24, 32, 36, 48, 100]
PROGRAMS = {
    kernels.forward_kernel: FORWARD,
    kernels.sampling_gradient_kernel: SAMPLING_GRADIENT,
    kernels.value_gradient_kernel: VALUE_GRADIENT,
}
KERNELS = [*PROGRAMS, kernels.cell_kernel, kernels.ordered_value_gradient_kernel]


def tile_of(kernel, width, dtype="bf16"):
    """The backend's choice: by the bytes of what the kernel reads, or adds to."""
    if kernel not in PROGRAMS:
        return launch_whole_rows(width, 4)
    return launch(PROGRAMS[kernel], width, 4 if kernel is kernels.value_gradient_kernel else BYTES[dtype])


def compiled(kernel, width, dtype="bf16", points=POINTS):
    """Compile as the backend launches: aligned pointers, 32-bit sizes. Returns PTX and disassembled machine code."""
    tile = tile_of(kernel, width, dtype)
    constants = {
        "HEADS": HEADS,
        "POINTS": points,
        "WIDTH": width,
        "QUERIES": tile.queries,
        "LANES": tile.lanes,
        "COMPUTE": tl.float32,
        "COLUMNS": triton.next_power_of_2(points),
    }
    others = {"samples": "fp32", "cells": "i32", "order": "i64", "starts": "i32"}
    if kernel is kernels.value_gradient_kernel:
        others["of_value"] = "fp32"
    sizes = {"queries", "keys", "key_height", "key_width", "query_height", "query_width", "first_map", "maps"}
    signature, attributes = {}, {}
    for place, name in enumerate(kernel.arg_names):
        if name in constants:
            signature[name] = "constexpr"
        elif name in sizes:
            signature[name] = "i32"
        else:
            signature[name] = "*" + others.get(name, dtype)
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(kernel, signature, {k: v for k, v in constants.items() if k in signature}, attributes)
    result = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": tile.warps})
    return result.asm["ptx"], result.asm["cubin"]


def disassembled(cubin, folder):
    path = folder / "kernel.cubin"
    path.write_bytes(cubin)
    tool = triton.knobs.nvidia.cuobjdump.path
    sass = subprocess.run([tool, "--dump-sass", path], capture_output=True, text=True, check=True).stdout
    usage = subprocess.run([tool, "--dump-resource-usage", path], capture_output=True, text=True, check=True).stdout
    return sass, {name: int(number) for name, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", usage)}


def vector_bytes(width, bytes_per_element, most=16):
    """The widest aligned vector in a row of `width` channels."""
    row = width * bytes_per_element
    return min(row & -row, most)


def pieces(kernel, width):
    return -(-width // tile_of(kernel, width).lanes)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("kernel", [kernels.forward_kernel, kernels.sampling_gradient_kernel], ids=lambda k: k.__name__)
def test_corners_are_loaded_in_vectors(kernel, width):
    """Every piece of a corner is one load, as wide as the row's alignment allows: a thread has one row."""
    ptx, _ = compiled(kernel, width)
    name = {4: "ld.global.b32", 8: "ld.global.v2.b32", 16: "ld.global.v4.b32"}[vector_bytes(width, 2)]
    upstream = 1 if kernel is kernels.sampling_gradient_kernel else 0
    assert ptx.count(name) == (4 * POINTS + upstream) * pieces(kernel, width)
    # Two offsets and a logit per point. A channel among them would be missing from the vectors above.
    assert ptx.count("ld.global.b16") == 3 * POINTS


@pytest.mark.parametrize("width", WIDTHS)
def test_additions_are_relaxed_vector_reductions(width, tmp_path):
    """One reduction per piece of a corner, not one per channel; nothing waits for it, and no barrier follows it."""
    ptx, cubin = compiled(kernels.value_gradient_kernel, width)
    lanes = vector_bytes(width, 4) // 4
    atomics = re.findall(r"(?:atom|red)\.\S+", ptx)
    kinds = {kind.removeprefix("atom.").removeprefix("red.") for kind in atomics}  # Triton 3.9 writes `red` itself
    assert kinds == {f"global.gpu.relaxed.add.v{lanes}.f32"}
    assert len(atomics) == 4 * POINTS * pieces(kernels.value_gradient_kernel, width)
    sass, _ = disassembled(cubin, tmp_path)
    assert len(re.findall(rf"\bREDG?\.E\.ADD\.F32x{lanes}\.\S*STRONG\.GPU", sass)) == len(atomics)
    assert not re.search(r"\b(ATOMG?|MEMBAR|ERRBAR|CCTL)\b", sass)


@pytest.mark.parametrize("width", [6, 24, 100])
@pytest.mark.parametrize("dtype", ["bf16", "fp32"])
@pytest.mark.parametrize("kernel", PROGRAMS, ids=lambda k: k.__name__)
def test_nothing_spills(kernel, dtype, width, tmp_path):
    """No local memory, and few enough registers for 512 threads on a multiprocessor, for 384 in fp32.

    Training is in bf16. In fp32 Triton 3.9 takes 137 registers for a forward of width 100 where 3.6 takes 70.
    """
    sass, usage = disassembled(compiled(kernel, width, dtype)[1], tmp_path)
    assert usage["STACK"] == 0
    assert usage["LOCAL"] == 0
    assert not re.search(r"\b(LDL|STL)\b", sass)
    assert usage["REG"] <= (128 if dtype == "bf16" else 168)


@pytest.mark.parametrize("width", [6, 24, 100])
@pytest.mark.parametrize(
    "kernel", [kernels.cell_kernel, kernels.ordered_value_gradient_kernel], ids=lambda k: k.__name__
)
def test_nothing_spills_where_order_matters(kernel, width, tmp_path):
    sass, usage = disassembled(compiled(kernel, width)[1], tmp_path)
    assert usage["STACK"] == usage["LOCAL"] == 0
    assert not re.search(r"\b(LDL|STL)\b", sass)


@pytest.mark.parametrize("points", [1, 3, 8])
@pytest.mark.parametrize("kernel", PROGRAMS, ids=lambda k: k.__name__)
def test_other_numbers_of_points_do_not_spill(kernel, points, tmp_path):
    sass, usage = disassembled(compiled(kernel, 48, points=points)[1], tmp_path)
    assert usage["STACK"] == usage["LOCAL"] == 0
    assert not re.search(r"\b(LDL|STL)\b", sass)


@pytest.mark.parametrize("width", [6, 24, 100])
@pytest.mark.parametrize("dtype", ["bf16", "fp16", "fp32"])
def test_the_forward_pass_shares_nothing(dtype, width, tmp_path):
    """No shared memory and no barrier: each thread computes the locations of its own rows."""
    _, cubin = compiled(kernels.forward_kernel, width, dtype)
    sass, usage = disassembled(cubin, tmp_path)
    assert not re.search(r"\b(BAR|LDS|STS)\b", sass)
    assert usage["LOCAL"] == 0


@pytest.mark.parametrize("width", [12, 24, 100])
def test_the_backward_pass_does_not_wait_per_point(width):
    """One warp needs no barrier to change layouts; the one or none left is before the rows are stored."""
    for kernel in (kernels.sampling_gradient_kernel, kernels.value_gradient_kernel):
        ptx, _ = compiled(kernel, width)
        assert len(re.findall(r"\bbar\.sync", ptx)) <= 1


class FakeDriver:
    """A GPU as far as compiling for one goes."""

    def get_current_target(self):
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


class CompileOnly:
    """Stands for a kernel: `kernel[grid](...)` binds the arguments and compiles, and does not launch."""

    def __init__(self, kernel, hashes):
        self.kernel, self.hashes = kernel, hashes

    def __getitem__(self, grid):
        def compile_only(*arguments, **constants):
            self.hashes.add(self.kernel.warmup(*arguments, grid=grid, **constants).hash)

        return compile_only


def test_the_backend_compiles_as_it_launches_and_once_for_all_sizes(monkeypatch):
    """Through the launcher itself: maps of any size, one pixel wide or divisible by 16, share the compiled kernels."""
    monkeypatch.setattr(triton.runtime.driver, "_active", FakeDriver())
    hashes = {kernel.__name__: set() for kernel in KERNELS}
    stand_ins = {kernel.__name__: CompileOnly(kernel, hashes[kernel.__name__]) for kernel in KERNELS}
    monkeypatch.setattr(triton_backend, "kernels", SimpleNamespace(**stand_ins))
    for key_grid, query_grid in (((1, 9), (3, 4)), ((16, 16), (16, 16)), ((98, 98), (70, 70))):
        keys, queries = key_grid[0] * key_grid[1], query_grid[0] * query_grid[1]
        shapes = [(2, keys, 36), (2, queries, 3, 4, 2), (2, queries, 3, 4), (2, queries, 36)]
        *inputs, upstream = (torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes)
        triton_backend.forward(*inputs, key_grid, query_grid)
        for deterministic in (False, True):
            with determinism(deterministic):
                triton_backend.backward(upstream, *inputs, key_grid, query_grid, [True] * 3)
    assert {name: len(found) for name, found in hashes.items()} == dict.fromkeys(hashes, 1)

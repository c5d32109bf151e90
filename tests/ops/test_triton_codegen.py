"""What the compiler makes of the kernels for sm_90 (H100, H200), read from PTX and machine code; no GPU needed."""

import math
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

from piip_explore.ops import triton_backend, triton_gathering  # noqa: E402
from piip_explore.ops import triton_kernels as kernels  # noqa: E402
from piip_explore.ops.check import determinism  # noqa: E402
from piip_explore.ops.launch import (  # noqa: E402
    FORWARD_OF_SHORT_ROWS,
    SAMPLING_GRADIENT,
    VALUE_GRADIENT,
    Program,
    forward_program,
    launch,
    launch_blocks,
    launch_whole_rows,
)

pytestmark = pytest.mark.slow

HEADS, POINTS = 16, 4
BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
WIDTHS = [6, 12, 24, 32, 100]
"""Rows that 4, 8 and 16 bytes divide, in one piece and in several, of which the last is partly empty or full."""
PROGRAMS = [kernels.forward_kernel, kernels.sampling_gradient_kernel, kernels.value_gradient_kernel]
GATHERING = [
    kernels.cell_kernel,
    kernels.rank_kernel,
    kernels.list_kernel,
    kernels.block_kernel,
    kernels.gathered_value_gradient_kernel,
]
KERNELS = [*PROGRAMS, *GATHERING]


def tile_of(kernel, width, dtype="bf16", points=POINTS):
    """The backend's choice: by the bytes of what the kernel reads, or adds to."""
    if kernel is kernels.block_kernel:
        return launch_blocks(triton_gathering.SUMMED_AT_ONCE, width)
    if kernel not in PROGRAMS:
        return launch_whole_rows(width, 4)
    if kernel is kernels.value_gradient_kernel:
        return launch(VALUE_GRADIENT, width, 4)
    forward = forward_program(width, BYTES[dtype], points)
    return launch(forward if kernel is kernels.forward_kernel else SAMPLING_GRADIENT, width, BYTES[dtype])


def compiled(kernel, width, dtype="bf16", points=POINTS, given=False, tile=None):
    """Compile as the backend launches: aligned pointers, 32-bit sizes. Returns PTX and disassembled machine code."""
    tile = tile or tile_of(kernel, width, dtype, points)
    constants = {
        "HEADS": HEADS,
        "POINTS": points,
        "GIVEN": given,
        "WIDTH": width,
        "BLOCK": triton_gathering.SUMMED_AT_ONCE,
        "QUERIES": tile.queries,
        "HIGH": tile.high,
        "AHEAD": tile.ahead,
        "LANES": tile.lanes,
        "COMPUTE": tl.float32,
        "COLUMNS": triton.next_power_of_2(points),
    }
    others = {"samples": "fp32", "sums": "fp32", "cells": "i32", "order": "i64", "starts": "i32"}
    if kernel is kernels.value_gradient_kernel:
        others["of_value"] = "fp32"
    sizes = {"queries", "keys", "key_height", "key_width", "query_height", "query_width"}
    sizes |= {"first_map", "maps", "blocks", "outside"}
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
    "kernel",
    [kernels.cell_kernel, kernels.block_kernel, kernels.gathered_value_gradient_kernel],
    ids=lambda k: k.__name__,
)
def test_nothing_spills_where_order_matters(kernel, width, tmp_path):
    """Nor is there an atomic, whose order nobody knows."""
    sass, usage = disassembled(compiled(kernel, width)[1], tmp_path)
    assert usage["STACK"] == usage["LOCAL"] == 0
    assert usage["REG"] <= 128
    assert not re.search(r"\b(LDL|STL|RED|REDG|ATOM|ATOMG)\b", sass)


@pytest.mark.parametrize("points", [1, 3, 8])
@pytest.mark.parametrize("kernel", PROGRAMS, ids=lambda k: k.__name__)
def test_other_numbers_of_points_do_not_spill(kernel, points, tmp_path):
    sass, usage = disassembled(compiled(kernel, 48, points=points)[1], tmp_path)
    assert usage["STACK"] == usage["LOCAL"] == 0
    assert not re.search(r"\b(LDL|STL)\b", sass)


def instructions(sass):
    """The names of the machine instructions, in order."""
    return re.findall(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+ )?([A-Z0-9_]+)", sass, re.MULTILINE)


@pytest.mark.parametrize("width", [12, 24])
def test_a_row_of_its_own_takes_fewer_instructions(width, tmp_path):
    """What decides for one thread per row: at most two thirds of the instructions, and no fewer rows in flight."""
    taken, resident = [], []
    for program in (FORWARD_OF_SHORT_ROWS, Program(2, 4)):
        tile = launch(program, width, 2)
        sass, usage = disassembled(compiled(kernels.forward_kernel, width, tile=tile)[1], tmp_path)
        rows = tile.queries // tile.warps
        taken.append(len(instructions(sass)) / rows)
        resident.append(65536 // (32 * usage["REG"]) // tile.warps * tile.warps * rows)
    assert taken[0] < 2 / 3 * taken[1]
    assert resident[0] >= resident[1]


@pytest.mark.parametrize("program", [Program(1, 4, square=True), Program(1, 4, ahead=True), Program(2, 4, True, True)])
def test_other_layouts_compile_as_well(program, tmp_path):
    """No spills; with `ahead` the first load comes before the divisions, in the first tenth of the instructions."""
    tile = launch(program, 24, 2)
    sass, usage = disassembled(compiled(kernels.forward_kernel, 24, tile=tile)[1], tmp_path)
    assert usage["STACK"] == usage["LOCAL"] == 0
    names = instructions(sass)
    assert "LDG" in names[: len(names) // 10] or not program.ahead


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


@pytest.mark.parametrize("kernel", PROGRAMS, ids=lambda k: k.__name__)
def test_given_locations_and_weights_take_fewer_instructions(kernel, tmp_path):
    """Neither centres nor a softmax."""
    lengths = []
    for given in (True, False):
        sass, usage = disassembled(compiled(kernel, 24, given=given)[1], tmp_path)
        assert usage["STACK"] == usage["LOCAL"] == 0
        lengths.append(len(re.findall(r"^\s+/\*[0-9a-f]+\*/", sass, re.MULTILINE)))
        assert bool(re.search(r"\bMUFU\.EX2\b", sass)) != given
    assert lengths[0] < lengths[1]


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


def compile_only(monkeypatch):
    """Let launches compile alone; return what will hold the hashes of every kernel's compiled forms, by its name."""
    monkeypatch.setattr(triton.runtime.driver, "_active", FakeDriver())
    hashes = {kernel.__name__: set() for kernel in KERNELS}
    stand_ins = {kernel.__name__: CompileOnly(kernel, hashes[kernel.__name__]) for kernel in KERNELS}
    for module in (triton_backend, triton_gathering):
        monkeypatch.setattr(module, "kernels", SimpleNamespace(**stand_ins))
    return hashes


def test_the_backend_compiles_as_it_launches_and_once_for_all_sizes(monkeypatch):
    """Through the launcher itself: maps of any size, one pixel wide or divisible by 16, share the compiled kernels."""
    hashes = compile_only(monkeypatch)
    for key_grid, query_grid in (((1, 9), (3, 4)), ((16, 16), (16, 16)), ((98, 98), (70, 70))):
        keys, queries = key_grid[0] * key_grid[1], query_grid[0] * query_grid[1]
        shapes = [(2, keys, 36), (2, queries, 3, 4, 2), (2, queries, 3, 4), (2, queries, 36)]
        *inputs, upstream = (torch.zeros(shape, dtype=torch.bfloat16) for shape in shapes)
        triton_backend.forward(*inputs, key_grid, query_grid)
        for deterministic, way in ((False, "adding"), (False, "gathering"), (True, "adding")):
            monkeypatch.setattr(triton_backend, "VALUE_GRADIENT_BY", way)
            with determinism(deterministic):
                triton_backend.backward(upstream, *inputs, key_grid, query_grid, [True] * 3)
    assert {name: len(found) for name, found in hashes.items()} == dict.fromkeys(hashes, 1)


def test_misaligned_tensors_run_the_same_kernels(monkeypatch):
    """A view that starts two bytes into its storage is copied: no variants whose every load is scalar."""
    hashes = compile_only(monkeypatch)
    shapes = [(1, 9, 24), (1, 4, 1, 4, 2), (1, 4, 1, 4), (1, 4, 24)]
    for start in (0, 1):
        buffers = [torch.zeros(math.prod(shape) + 1, dtype=torch.bfloat16) for shape in shapes]
        views = [buffer[start:][: math.prod(s)].view(s) for buffer, s in zip(buffers, shapes, strict=True)]
        assert all((view.data_ptr() % 16 == 0) == (start == 0) for view in views)
        *inputs, upstream = views
        triton_backend.forward(*inputs, (3, 3), (2, 2))
        triton_backend.backward(upstream, *inputs, (3, 3), (2, 2), [True] * 3)
    used = [kernels.forward_kernel, kernels.sampling_gradient_kernel, kernels.value_gradient_kernel]
    assert [len(hashes[kernel.__name__]) for kernel in used] == [1, 1, 1]

"""These tests run the Triton kernels through Triton's interpreter, which must be chosen before Triton is imported.

`tests/ops/test_interpreted.py` starts them in a process of their own; started otherwise they are not collected.
"""

import dataclasses
import os

import pytest

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]


@pytest.fixture(autouse=True)
def _larger_tiles(monkeypatch):
    """Take 64 queries per program: the interpreter runs one program after the other, a tile as a NumPy array."""
    from piip_explore.ops import triton_backend
    from piip_explore.ops.launch import launch

    def larger(width, bytes_per_element, warps):
        return dataclasses.replace(launch(width, bytes_per_element, warps), queries=64)

    monkeypatch.setattr(triton_backend, "launch", larger)

"""These tests run the Triton kernels through Triton's interpreter, which must be chosen before Triton is imported.

`tests/ops/test_interpreted.py` starts them in a process of their own; started otherwise they are not collected.
"""

import os

import pytest

collect_ignore_glob = [] if os.environ.get("TRITON_INTERPRET") == "1" else ["test_*.py"]


@pytest.fixture(autouse=True)
def _larger_tiles(monkeypatch):
    """Take 64 whole rows per program: the interpreter runs one program after the other, a tile as a NumPy array."""
    from piip_explore.ops import triton_backend, triton_gathering
    from piip_explore.ops.launch import Tile, power_of_two

    monkeypatch.setattr(triton_backend, "launch", lambda program, width, _: Tile(64, power_of_two(width), 1))
    monkeypatch.setattr(triton_gathering, "launch_whole_rows", lambda width, _: Tile(64, power_of_two(width), 1))

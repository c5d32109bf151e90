"""Tests that need a CUDA device: skipped, with the reason, where there is none."""

import pytest
import torch


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name != "gpu":
            continue
        item.add_marker(pytest.mark.gpu)
        if not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="torch.cuda.is_available() is false: no GPU on this machine"))

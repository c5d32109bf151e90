import pytest
import torch

from piip_explore.proxy import Preset
from piip_explore.testing import presets


@pytest.fixture(autouse=True, scope="session")
def one_core():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Preset:
    """A preset of seconds: 40 steps on 32-pixel images."""
    return presets.tiny(samples=320, fresh_rate=3.0)

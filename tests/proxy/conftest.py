import pytest
import torch

from piip_explore.proxy import Preset, Shrink
from piip_explore.proxy.data import EmbeddedScenes, SceneRules
from piip_explore.proxy.tasks import Segmentation


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Tests render into their own cache, and on one core."""
    patch = pytest.MonkeyPatch()
    patch.setenv("PIIP_EXPLORE_CACHE", str(tmp_path_factory.mktemp("cache")))
    torch.set_num_threads(1)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def tiny() -> Preset:
    """A preset of seconds: 40 steps on 32-pixel images."""
    return Preset(
        name="tiny",
        task=Segmentation(head_size=8, dim=8),
        data=EmbeddedScenes(SceneRules(digits=1, crowd=4, clutter=1, smallest=0.3)),
        shrink=Shrink(resolution=28, width=16, patch=4, depth=6),
        size=32,
        train_images=64,
        val_images=16,
        samples=320,
        batch=8,
        rate=2e-3,
        fresh_rate=3.0,
    )

"""What holds for every test."""

import os

import pytest
from hypothesis import HealthCheck, settings

# Property tests judge what the code does, never how fast the machine is at it.
settings.register_profile("any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("any-machine")


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory):
    """The processes of a run share a cache that begins empty: no test depends on what is in the user's."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIIP_EXPLORE_CACHE", str(folder))
        yield


def pytest_collection_modifyitems(items):
    """What needs these is slow by nature."""
    for item in items:
        if {"browser", "ray_cluster"} & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)

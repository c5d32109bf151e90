"""Every test of this room counts parts into a folder of its own run, not into the user's."""

import pytest

from piip_explore.cost import store


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(autouse=True)
def _own_parts(parts_folder, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(parts_folder))
    yield
    store.part.cache_clear()

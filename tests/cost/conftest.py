"""Every test of this room counts parts into a folder of its own run, not into the user's."""

import pytest

from piip_explore import catalog
from piip_explore.cost import part_sizes
from tests.cost.designs import SHORT_MODELS


@pytest.fixture(scope="session")
def parts_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parts")


@pytest.fixture(autouse=True)
def _own_parts(parts_folder, monkeypatch):
    monkeypatch.setenv("PIIP_EXPLORE_CACHE", str(parts_folder))
    for name, spec in SHORT_MODELS.items():
        monkeypatch.setitem(catalog.MODELS, name, spec)
    _forget()
    yield
    _forget()


def _forget() -> None:
    for remembered in (part_sizes.counted, part_sizes.vision_transformer, part_sizes._by_side):
        remembered.cache_clear()

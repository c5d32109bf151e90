"""Tests of this room count parts into a folder of their own run, and look for profiles in one of their own."""

import pytest

from tests.cost.conftest import _own_parts, parts_folder  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

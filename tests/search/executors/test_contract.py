"""What every executor does, whatever it runs evaluations with."""

from __future__ import annotations

import pytest

from piip_explore.search.executors.local import LocalEngine
from piip_explore.testing.executors import ExecutorContract


class TestLocal(ExecutorContract):
    def start(self, evaluator, logs):
        return LocalEngine(["cpu", "cpu"]).start(evaluator, logs)


@pytest.mark.slow
class TestRay(ExecutorContract):
    @pytest.fixture(autouse=True)
    def cluster(self, ray_cluster):
        self.address = ray_cluster.address

    def start(self, evaluator, logs):
        from piip_explore.search.executors.ray import RayEngine

        return RayEngine(self.address, workers=2).start(evaluator, logs)

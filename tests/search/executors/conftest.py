"""A Ray cluster on this machine, made once: its nodes are processes of their own, which may be killed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

STORE = 80 * 1024 * 1024


def add_node(cluster: Cluster, **resources: object) -> object:
    """Start a node; again where a crowded machine takes longer than Ray waits, which is not to be changed."""
    for _ in range(4):
        try:
            return cluster.add_node(object_store_memory=STORE, **resources)
        except Exception as error:  # Ray raises a plain one
            if "timed out during startup" not in str(error):
                raise
            reason = error
    raise reason


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """A head without CPUs, where the searches of the tests are, and one node with two."""
    ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'piip-explore[ray]'")
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    add_node(cluster, num_cpus=0, include_dashboard=False)
    add_node(cluster, num_cpus=2)
    yield cluster
    ray.shutdown()
    cluster.shutdown()

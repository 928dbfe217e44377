"""Ray clusters of several nodes on this machine, for tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray.cluster_utils import Cluster

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


@contextmanager
def two_nodes() -> Iterator[Cluster]:
    """Two nodes of one core; only what was started here is ended."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    cluster = Cluster(
        initialize_head=True,
        head_node_args={**NODE, "node_ip_address": "127.0.0.2", "include_dashboard": False},
    )
    cluster.add_node(**NODE, node_ip_address="127.0.0.3")
    yield cluster
    ray.shutdown()
    cluster.shutdown()

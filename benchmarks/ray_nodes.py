"""``python -m benchmarks.ray_nodes [VARIABLES]``: a Ray cluster of two nodes with one core each.

Prints ``READY`` and its address. A line ``kill`` on stdin kills the second node, ``freeze`` stops its processes as when
a host loses its power, ``replace`` kills it and adds another one; the end of stdin ends the cluster.

Args:
    VARIABLES: JSON, further variables of the second node.
"""

import json
import sys
from contextlib import suppress
from typing import Any

import psutil
from ray.cluster_utils import Cluster


def main(variables: dict[str, str]) -> None:
    """Run the cluster."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1, env_vars=variables)
    cluster.wait_for_nodes()
    print("READY", cluster.address, flush=True)
    frozen: list[psutil.Process] = []
    for line in sys.stdin:
        if line.strip() == "freeze":
            frozen += _freeze(second)
            continue
        cluster.remove_node(second, allow_graceful=False)
        if line.strip() == "replace":
            second = cluster.add_node(num_cpus=1, env_vars=variables)
    cluster.shutdown()  # type: ignore[no-untyped-call]
    for process in frozen:  # a stopped worker does not see that its node has ended
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _freeze(node: Any) -> list[psutil.Process]:
    """Stop all processes of a node: its connections stay open, and nothing answers."""
    started = [psutil.Process(each.process.pid) for kind in node.all_processes.values() for each in kind]
    processes = [*started, *(child for parent in started for child in parent.children(recursive=True))]
    for process in processes:
        process.suspend()
    return processes


if __name__ == "__main__":
    main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})

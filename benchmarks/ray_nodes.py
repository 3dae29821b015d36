"""``python -m benchmarks.ray_nodes``: a Ray cluster of two nodes with one core each.

Prints its address. A line on stdin kills the second node and adds another one, the end of stdin ends the cluster.
"""

import sys

from ray.cluster_utils import Cluster


def main() -> None:
    """Run the cluster."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        second = cluster.add_node(num_cpus=1)
    cluster.shutdown()


if __name__ == "__main__":
    main()

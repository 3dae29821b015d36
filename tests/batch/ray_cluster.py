"""``python -m tests.batch.ray_cluster VARIABLES``: a Ray cluster of two nodes with one core each, for a test.

Prints its address. A line on stdin kills the second node; the end of stdin ends the cluster.

Args:
    VARIABLES: JSON, further variables of the second node.
"""

import json
import sys

from ray.cluster_utils import Cluster


def main(variables: dict[str, str]) -> None:
    """Run the cluster."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1, env_vars=variables)
    cluster.wait_for_nodes()
    print("READY", cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        print("KILLED", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))

"""``python -m benchmarks.ray_nodes [VARIABLES]``: a Ray cluster of two nodes with one core each.

Prints ``READY`` and its address. A line ``kill`` on stdin kills the second node, ``replace`` also adds another one; the
end of stdin ends the cluster.

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
    for line in sys.stdin:
        cluster.remove_node(second, allow_graceful=False)
        if line.strip() == "replace":
            second = cluster.add_node(num_cpus=1, env_vars=variables)
    cluster.shutdown()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})

"""Servers beside the pipeline: single dashboards, or everything that a team needs."""

from sadcl.services.dashboards import show
from sadcl.services.supervisor import HOST, free_port
from sadcl.services.up import down, is_down, registry_alone, up

__all__ = ["HOST", "down", "free_port", "is_down", "registry_alone", "show", "up"]

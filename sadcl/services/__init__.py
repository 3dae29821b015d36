"""What runs beside the loop: one page at a time, or everything that a team needs."""

from sadcl.services.pages import show
from sadcl.services.running import HOST, free_port
from sadcl.services.team import down, up

__all__ = ["HOST", "down", "free_port", "show", "up"]

"""The store through which the ranks of a training find one another: torch's own, a few keys in the memory of a process.

torch's store neither asks for a password nor encrypts: it is for networks in which everybody is trusted.
"""

import socket
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from sadcl.errors import SadclError, first_line

__all__ = ["TCPStore", "connect", "serve"]


def serve(host: str, port: int) -> TCPStore:
    """Start a store that listens on an address of this machine; port 0 is any free port, the host "" all addresses.

    Raises:
        SadclError: another program listens on the port.
    """
    try:
        listening = socket.create_server((host, port))
    except OSError as error:
        problem = f"Port {port} is not available: {first_line(error)}"
        raise SadclError(problem, where="SADCL_PORT", fix="Set it to a free port") from None
    port = listening.getsockname()[1]
    # a socket that is bound already: no other program takes the port first, and loopback stays loopback
    return TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listening.detach())


def connect(host: str, port: int, seconds: float) -> TCPStore:
    """Connect to a store; each request waits for ``seconds`` at most.

    Raises:
        RuntimeError: nothing answers, now or at a later request.
    """
    return TCPStore(host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=seconds))

"""A port for a server that has to be told one."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]

# Below those that a system hands out by itself, to kernels and clients: nobody takes it before the server listens.
_OURS = range(20_000, 32_000)


def free_port() -> int:
    """A port of the loopback interface on which nobody listens."""
    for port in random.sample(_OURS, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("a hundred ports were tried, and somebody listens on each")

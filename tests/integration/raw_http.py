"""Requests to a `FaultServer` by hand, below any SDK."""

from __future__ import annotations

import http.client
import json
import socket
from typing import Any

from nbretry.testing import FaultServer

__all__ = ["GENEROUS", "connect", "post", "written"]

GENEROUS = 30.0
"""Seconds that a slow machine may take for what is done at once."""


def connect(server: FaultServer) -> socket.socket:
    """A bare connection."""
    return socket.create_connection(("127.0.0.1", int(server.origin.rpartition(":")[2])), timeout=GENEROUS)


def written(body: Any, path: str = "/v1/chat/completions", *headers: str) -> bytes:
    """A POST as bytes."""
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "host: here", f"content-length: {len(data)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def post(server: FaultServer, body: Any, path: str = "/v1/chat/completions", method: str = "POST") -> Any:
    """Status, headers and body of the response to a bare request."""
    connection = http.client.HTTPConnection(server.origin.partition("//")[2], timeout=GENEROUS)
    try:
        connection.request(method, path, body if isinstance(body, bytes) else json.dumps(body))
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()

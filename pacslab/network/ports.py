"""Why a port can't be had, and what to do about it."""

from __future__ import annotations

import errno

import psutil

from pacslab.errors import PortInUseError, ServerError


def port_in_use(host: str, port: int, error: OSError) -> ServerError:
    """What an OSError in binding an address means, with the remedy; to be raised by the caller.

    PortInUseError names the process that holds the port, where the system tells.
    """
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            f"port {port} is in use by {holder(port)}: stop it, or take another port (0 takes a "
            "free one)"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return ServerError(
            f"port {port} needs administrator's rights: take one above 1023 (0 takes a free one)"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return ServerError(f"{host} isn't an address of this machine: take 127.0.0.1 or 0.0.0.0")
    return ServerError(f"can't listen on {host}, port {port}: {error.strerror or error}")


def holder(port: int) -> str:
    """The process that listens on a TCP port, by name and pid; as much as the system tells."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == port:
                if connection.pid is None:
                    break
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:  # macOS doesn't show other users' connections
        pass
    return "another process"

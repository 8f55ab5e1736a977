"""The port on which Prometheus asks, and the library that answering it takes."""

import importlib
import os
import socket

from pysaslauthd.logs import log

HOST = "127.0.0.1"
"""Nobody from elsewhere is to know which services are used here, and how much."""

BACKLOG = 8
_SERVER = "pysaslauthd.front.metrics_http"


class MetricsPortError(Exception):
    """What answers there is not installed; the message says so."""


def load() -> None:
    """Import what answers, so that a front has it before it gives its rights up.

    :raises MetricsPortError: the library is not installed.
    """
    try:
        importlib.import_module(_SERVER)
    except ImportError as error:
        raise MetricsPortError(
            f"metrics_port needs the package prometheus-client, which the extra metrics installs: {error}"
        ) from None


def listening(port: int) -> socket.socket | None:
    """A socket that listens there; None for port 0, or if there is none to be had, which the log says.

    Logins do not depend on it: any user of the machine could take the port while we are started anew, and nobody would log in.

    :raises MetricsPortError: the library is not installed.
    """
    if not port:
        return None
    load()
    try:
        return socket.create_server((HOST, port), backlog=BACKLOG)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        log.error(f"no metrics by HTTP until a restart: metrics_port: cannot listen on {HOST}:{port}: {why}")
        return None

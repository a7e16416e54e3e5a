"""Connections cut because of their clients' behavior: counted and logged."""

import logging
from enum import Enum

import prometheus_client

logger = logging.getLogger(__name__)


class Cut(Enum):
    """Reasons to cut a connection.

    Attributes:
        label: Value of the metric's label.
        reason: A sentence for the log and the client.
    """

    def __init__(self, label: str, reason: str) -> None:
        self.label = label
        self.reason = reason

    UNFINISHED = ("unfinished", "a message did not arrive whole in time")
    MEMORY = ("memory", "too much memory is taken by messages that have not arrived whole")
    SLOW = ("slow", "too much waits for clients that do not read")
    UNREAD = ("unread", "the answer to a request was not read")
    SILENT = ("handshake", "the handshake or the first request did not come in time")
    HANDSHAKES = ("handshakes", "too many of its network, or of all, have not finished their handshakes")
    CERTIFICATE = ("certificate", "its client certificate cannot be trusted")
    PROXY = ("proxy", "it is not from a trusted proxy that names its client")
    DESCRIPTORS = ("descriptors", "no file descriptors are left; it gets /healthz alone")


class Cuts:
    """Counts and logs the connections that were cut.

    Args:
        registry: Where the counter is registered.
    """

    def __init__(self, registry: prometheus_client.CollectorRegistry) -> None:
        self._counter = prometheus_client.Counter(
            "fanline_connections_cut",
            "Connections cut because of what their clients do.",
            ["reason"],
            registry=registry,
        )
        for cut in Cut:
            self._counter.labels(cut.label)

    def count(self, cut: Cut, address: str, detail: str = "") -> None:
        """Count one.

        Args:
            cut: Why.
            address: Of the client.
            detail: A sentence for the log instead of that of ``cut``.
        """
        self._counter.labels(cut.label).inc()
        logger.info("cut a connection of %s: %s", address, detail or cut.reason)

"""Certificates of an installation: made, shown and renewed.

From code, one call gives a folder that both :func:`fanline.security.tls.server_context` and
:func:`fanline.security.tls.client_context` accept::

    certs.ensure(Path("var/certs"), names=["queue.example.com", "192.0.2.7"])
"""

from certs.folder import Done, Outcome, ensure, make_client, renew
from certs.handshake import verify

__all__ = ["Done", "Outcome", "ensure", "make_client", "renew", "verify"]

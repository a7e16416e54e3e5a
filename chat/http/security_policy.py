"""The content security policy of the web pages."""

import re
from typing import Final

_HOST: Final = re.compile(r"([A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?")


def content_security_policy(host: str | None, style: str = "'self'") -> str:
    """Return what a page may load and do: nothing but what comes from this server.

    Args:
        host: The requested host; older browsers do not count its WebSockets as ``'self'``.
        style: The source of the styles.
    """
    sockets = f" wss://{host}" if host and _HOST.fullmatch(host) else ""
    return (
        f"default-src 'self'; connect-src 'self'{sockets}; img-src 'self' data:; style-src {style}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )

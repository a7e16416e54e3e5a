"""WebSockets of a service: the handshake, one connection, and its frames."""

"""WebSockets of a service: the handshake, one connection, and the set of all open ones."""

"""Connections to a server: addresses, TLS, login, WebSockets and HTTP."""

"""Authenticate users by password or token, decide their rights, and configure TLS."""

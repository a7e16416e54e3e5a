"""Authentication by password or token, users' rights, and TLS."""

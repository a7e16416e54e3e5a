"""Logins, users and their rights, tokens, and TLS."""

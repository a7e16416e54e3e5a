"""Presence: which users are present on which topics, on all processes of the service."""

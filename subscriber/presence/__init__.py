"""Presence: users on topics, on all processes of the service."""

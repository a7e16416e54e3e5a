"""Channels: what open WebSockets and event streams have in common."""

"""Rooms on the pipeline: connections, commands and lifecycle."""

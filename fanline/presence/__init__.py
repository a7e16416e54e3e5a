"""Conclude from one log who is present where, and which servers are alive; no I/O."""

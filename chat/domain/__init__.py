"""The rules of rooms, members and events; no I/O."""

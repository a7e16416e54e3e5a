"""The rules of rooms, members and events. No I/O."""

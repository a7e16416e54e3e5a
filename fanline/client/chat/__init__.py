"""A client of chat: a room, and the pages before it."""

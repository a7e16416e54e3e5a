"""HTTP of the subscriber service: history in pages, and server-sent events."""

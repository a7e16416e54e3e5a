"""HTTP of the subscriber service: history in pages, server-sent events, and who is present."""

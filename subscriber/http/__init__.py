"""HTTP of the subscriber service: history pages, server-sent events, and presence."""

"""The way from a service's sockets to its app, and its connections."""

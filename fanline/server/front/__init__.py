"""The way from the sockets of a service to its app, and all open connections."""

"""HTTP of a service: its connections, middleware, and streams of events."""

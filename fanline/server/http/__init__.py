"""HTTP of a service: requests, middleware, problems, health and metrics pages."""

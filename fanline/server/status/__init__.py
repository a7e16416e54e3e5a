"""Reports on a service: readiness, measurements over time, open connections."""

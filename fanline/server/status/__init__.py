"""Report how a service does: its readiness, measurements over time, and open connections."""

"""Spans of the messages that carry a trace, for OpenTelemetry."""

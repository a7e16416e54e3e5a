"""The service that accepts messages and forwards them to the log."""

"""The service that keeps the one ordered, durable log of messages."""

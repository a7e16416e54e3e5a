"""The one ordered, durable log of messages."""

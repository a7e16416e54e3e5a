"""The durable consumers of the log: who gets which message, and what is done."""

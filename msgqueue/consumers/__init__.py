"""Durable consumers of the log: who gets which message, what is done."""

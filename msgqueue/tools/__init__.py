"""Check and copy a log."""

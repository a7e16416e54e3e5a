"""Programs that check and copy a log."""

"""Tools that check and copy a log."""

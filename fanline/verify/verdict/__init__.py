"""Judge a run: what was observed, what it breaks, and the report."""

"""The engine of a cluster: a SQLite replica written from the journal."""

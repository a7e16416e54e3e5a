"""The engine of a cluster: a replica of the log in SQLite, written from the journal alone."""

"""The built-in engine: a log in one SQLite file."""

"""The engine that is built in: a log in one SQLite file."""

"""One interface to the log, over the wire or in-process, cache included."""

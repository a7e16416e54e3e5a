"""One interface to the log, over the wire or within a process, and a cache of its newest records."""

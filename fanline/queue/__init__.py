"""The way of services and tools to the log that msgqueue keeps, and a cache of its newest records."""

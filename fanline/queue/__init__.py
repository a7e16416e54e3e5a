"""The log that msgqueue keeps, as services and tools use it; and a cache of its newest records."""

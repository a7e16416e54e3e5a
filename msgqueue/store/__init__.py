"""Where the log is kept: the interface that msgqueue uses, and the engines behind it."""

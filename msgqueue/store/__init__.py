"""The interface of storage engines, and the engines behind it."""

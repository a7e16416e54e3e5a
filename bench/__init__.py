"""Measurements beside other servers: ``make bench``."""

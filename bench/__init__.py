"""Measure the services and other servers in one run."""

"""Benchmarks of Fanline and other servers side by side: ``make bench``."""

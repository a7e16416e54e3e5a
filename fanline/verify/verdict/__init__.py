"""Judgment of a run: observations, violations, and the report."""

"""The publishers and subscribers of a run, and what they share."""

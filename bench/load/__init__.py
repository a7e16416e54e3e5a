"""The load generator: subscribers, publishers, and the rig that drives them.

Each has its own process.
"""

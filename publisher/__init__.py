"""The edge that takes messages in."""

"""The edge that hands messages out."""

"""Accepting connections within limits, limiting rates, and counting cut connections."""

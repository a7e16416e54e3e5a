"""The system under test: its processes, and the network links between them."""

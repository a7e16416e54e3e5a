"""``fanline doctor``: check an installation, and say in words what would go wrong."""

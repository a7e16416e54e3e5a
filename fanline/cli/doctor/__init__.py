"""``fanline doctor``: checks an installation, and says what would go wrong."""

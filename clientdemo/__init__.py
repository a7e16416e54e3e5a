"""The command-line client: interactive for people, ``pub`` and ``sub`` for scripts, ``chat`` for both."""

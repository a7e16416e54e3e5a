"""The command-line client: interactive for people, commands for scripts."""

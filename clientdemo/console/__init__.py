"""The terminal: input lines, their grammar, output and escapes."""

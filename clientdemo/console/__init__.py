"""Read and write the terminal: input lines, their grammar, output and escapes."""

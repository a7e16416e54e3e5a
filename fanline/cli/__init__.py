"""The command ``fanline``, one module for each group of subcommands."""

from fanline.cli.main import main

__all__ = ["main"]

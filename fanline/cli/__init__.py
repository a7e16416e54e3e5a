"""The ``fanline`` command, one module for each group of commands."""

from fanline.cli.main import main

__all__ = ["main"]

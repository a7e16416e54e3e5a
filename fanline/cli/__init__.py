"""The ``fanline`` command."""

from fanline.cli.main import main

__all__ = ["main"]

"""The program ``python -m certs``."""

from certs.cli import main

main()

"""The command ``fanline``, which catches Ctrl-C during imports.

So there is no traceback while its modules are imported.

The import of any module of :mod:`fanline` takes a large part of a second, so this one is not in it.
"""

import importlib
import signal


def main() -> None:
    """Run the command line: :func:`fanline.cli.main.main`."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    run = importlib.import_module("fanline.cli.main").main
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()

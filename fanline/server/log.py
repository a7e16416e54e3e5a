"""Logging: one line per event to standard error, in UTC, for people and for log collectors alike."""

import logging
import sys
import time


def configure(service: str, level: str) -> None:
    """Send this process's log to standard error.

    Args:
        service: Name that every line carries.
        level: Least level that is written: ``debug``, ``info``, ``warning`` or ``error``.
    """
    formatter = logging.Formatter(
        f"%(asctime)s.%(msecs)03dZ {service} %(levelname)s %(message)s", datefmt="%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # The libraries tell of every request and connection, and at debug level of every frame and header: that
    # is noise at best, and credentials at worst.
    for library in ("websockets", "httpx", "httpcore", "uvicorn"):
        logging.getLogger(library).setLevel(logging.ERROR)


def quoted(text: str, limit: int = 100) -> str:
    """Return text of a stranger as a log line may hold it: in ASCII, quoted, and cut.

    Args:
        text: Anything.
        limit: Characters of it that are kept.
    """
    return ascii(text if len(text) <= limit else f"{text[:limit]}…")

"""Warnings of exposure: the demo password, and files with secrets."""

import logging
from pathlib import Path
from typing import Final

from fanline.errors import ConfigurationError
from fanline.files import is_open_to_all, typed
from fanline.security.tls import SERVER_KEY
from fanline.settings import DEMO_PASSWORD, DEMO_USER, Settings

logger = logging.getLogger(__name__)

_SECRET: Final = ("password_file", "users_file")


def check_exposure(settings: Settings) -> None:
    """Refuse to listen for other machines with the public demo password.

    Raises:
        ConfigurationError: If there is no users file and the address is not a loopback address.
    """
    if settings.users_file is None and not settings.is_loopback:
        raise ConfigurationError(
            f"host: {settings.host} is open to other machines, and the login {DEMO_USER}/{DEMO_PASSWORD} "
            f"is for this one only; make users with `{typed('fanline')} user add NAME` and set "
            "FANLINE_USERS_FILE, or listen on 127.0.0.1"
        )


def warn_of_open_files(settings: Settings) -> None:
    """Log a warning for each secret file that all users can access.

    The keys of tokens are not among them: their mode is checked whenever they are read.
    """
    named = [(name, value) for name, value in settings if name.endswith(_SECRET) and isinstance(value, Path)]
    for name, path in (*named, ("cert_dir", settings.cert_dir / SERVER_KEY)):
        if is_open_to_all(path):
            logger.warning("%s %s: every user of this machine can access it; set its mode to 600", name, path)

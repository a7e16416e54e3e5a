"""Prepare the volumes of compose.yaml: certificates and generated credentials.

The container ``setup`` runs it before the services start::

    python first_start.py PRIVATE [NAME…]

``NAME`` is an additional host name or address of the server certificate. The files go to two places:

* ``PRIVATE``, which no service can read: ``ca.key``, all certificates, ``admin-password``;
* the paths in the settings of the services: ``ca.crt``, ``server.crt``, ``server.key``, the users and rights
  files, the password with which the services log in to each other, the key of the tokens, and the chat
  password.

Existing files are kept, so it may run at every start; an expired certificate is reissued.
"""

import os
import secrets
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import certs
from chat.settings import ChatSettings
from fanline import files
from fanline.errors import ConfigurationError, FanlineError
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import SERVER_CERT, SERVER_KEY
from fanline.security.tokens import TokenKey
from fanline.security.users import User, UsersFile
from fanline.settings import Settings, read

FIRST_USER: Final = "admin"


def main(argv: Sequence[str]) -> None:
    """Prepare the folders that ``argv`` and the settings name; print how to log in."""
    private, names = Path(argv[0]), argv[1:]
    os.umask(0o077)
    settings = read(ChatSettings)
    make_certificates(private, settings.cert_dir, names)
    TokenKey(settings.token_key_file).create_if_missing()
    admin_password = private / f"{FIRST_USER}-password"
    if make_users(admin_password, settings):
        show(f"The first user is {FIRST_USER}", admin_password)
    if settings.chat_password_file is not None and make_password(settings.chat_password_file):
        show("Chat has one password for all members", settings.chat_password_file)


def show(what: str, password_file: Path) -> None:
    """Print the command that shows a password, not the password: output is kept in a log."""
    sys.stdout.write(
        f"{what}; this shows the password:\n"
        f"    docker compose --file docker/compose.yaml run --rm --entrypoint cat setup {password_file}\n"
    )


def make_certificates(private: Path, shared: Path, names: Sequence[str]) -> None:
    """Make missing certificates in ``private``; copy all but the key of the CA to ``shared``."""
    certs.ensure(private, names)
    with files.locked(shared):
        for name in (SERVER_KEY, SERVER_CERT, CA_CERT):
            mode = stat.S_IMODE((private / name).stat().st_mode)
            files.replace(shared / name, (private / name).read_bytes(), mode)


def make_users(password_file: Path, settings: Settings) -> bool:
    """Create the services' user and a first user if missing, each with its own password.

    Returns:
        Whether the first user is new.

    Raises:
        ConfigurationError: If a setting is missing, or the users file is wrong or cannot be written.
    """
    if settings.users_file is None or settings.link_password_file is None:
        raise ConfigurationError("users_file and link_password_file: set both, they name the files to make")
    users = UsersFile(settings.users_file)
    add_user(users, User(settings.link_user, is_service=True), settings.link_password_file)
    return add_user(users, User(FIRST_USER), password_file)


def add_user(users: UsersFile, user: User, password_file: Path) -> bool:
    """Add a user with a generated password unless it exists; return whether it is new."""
    if user.name in users.read(missing_ok=True):
        return False
    make_password(password_file)
    users.put(user, password_file.read_text().strip())
    return True


def make_password(file: Path) -> bool:
    """Generate a password unless the file exists; return whether it is new."""
    return files.create(file, f"{secrets.token_urlsafe(24)}\n".encode())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except FanlineError as error:
        sys.exit(f"setup: {error}")

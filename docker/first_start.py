"""Volumes of compose.yaml: certificates and generated credentials.

The container ``setup`` runs it before the services start::

    python first_start.py PRIVATE [NAME…]

``NAME`` is an additional host name or address of the server certificate. The files go to two places:

* ``PRIVATE``, which no service can read: ``ca.key``, all certificates, ``admin-password``;
* the paths in the settings: ``ca.crt``, ``server.crt``, ``server.key``, the users and rights files, for all
  services; for publisher and subscriber their password for msgqueue and the key of the tokens; for chat its
  own password, key and password for the pipeline; the password of the NATS servers of a cluster.

Existing files are kept, so it may run at every start; an expired certificate is reissued. Secrets that
version 0.1 kept where every service reads them move to their places.
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
from fanline.setting_sources import read
from msgqueue.settings import MsgQueueSettings

FIRST_USER: Final = "admin"
COMPOSE: Final = "docker compose --file docker/compose.yaml"
CHAT_TOPICS: Final = ("chat.>",)


def main(argv: Sequence[str]) -> None:
    """Prepare the folders of ``argv`` and settings; print how to log in."""
    private, names = Path(argv[0]), argv[1:]
    os.umask(0o077)
    settings = read(ChatSettings)
    for folder in folders(settings):
        folder.mkdir(parents=True, exist_ok=True)
    make_certificates(private, settings.cert_dir, names)
    for path in (settings.link_password_file, settings.chat_password_file, settings.token_key_file):
        move_secret(settings.cert_dir, path)
    if (nats_password_file := read(MsgQueueSettings).nats_password_file) is not None:
        nats_password_file.parent.mkdir(parents=True, exist_ok=True)
        make_password(nats_password_file)
    TokenKey.from_settings(settings).create_if_missing()
    TokenKey(settings.chat_token_key_file, "chat_token_key_file").create_if_missing()
    admin_password = private / f"{FIRST_USER}-password"
    if make_users(admin_password, settings):
        show(f"The first user is {FIRST_USER}", admin_password)
        if admin_password.is_absolute():
            command = f"{COMPOSE} run --rm --entrypoint fanline setup user add NAME"
            sys.stdout.write(f"Add others:\n    {command}\n")
    if settings.chat_password_file is not None and make_password(settings.chat_password_file):
        show("Chat has one password for all members", settings.chat_password_file)


def folders(settings: ChatSettings) -> set[Path]:
    """Return where the files that the settings name belong."""
    files_named = (
        settings.users_file,
        settings.link_password_file,
        settings.token_key_file,
        settings.chat_user_password_file,
        settings.chat_password_file,
        settings.chat_token_key_file,
    )
    return {settings.cert_dir, *(file.parent for file in files_named if file is not None)}


def show(what: str, password_file: Path) -> None:
    """Print the command that shows a password.

    The password itself is not printed: output is kept in a log.
    """
    # In compose.yaml all paths are absolute; others are of the current folder.
    cat = f"{COMPOSE} run --rm --entrypoint cat setup" if password_file.is_absolute() else "cat"
    sys.stdout.write(f"{what}; this shows the password:\n    {cat} {password_file}\n")


def make_certificates(private: Path, shared: Path, names: Sequence[str]) -> None:
    """Make missing certificates in ``private``, and copy them to ``shared``.

    The key of the CA is not copied.
    """
    certs.ensure(private, names)
    with files.locked(shared):
        for name in (SERVER_KEY, SERVER_CERT, CA_CERT):
            mode = stat.S_IMODE((private / name).stat().st_mode)
            files.replace(shared / name, (private / name).read_bytes(), mode)


def move_secret(shared: Path, path: Path | None) -> None:
    """Move a file from the shared folder, if its place is empty.

    Every service reads the shared folder.
    """
    if path is not None and path.parent != shared and (old := shared / path.name).exists():
        files.create(path, old.read_bytes())
        old.unlink()


def make_users(password_file: Path, settings: ChatSettings) -> bool:
    """Create missing users: the services', and a first one.

    Each has its own password.

    Returns:
        Whether the first user is new.

    Raises:
        ConfigurationError: If a setting is missing, or the users file is wrong or cannot be written.
    """
    if settings.users_file is None or settings.link_password_file is None:
        raise ConfigurationError("users_file and link_password_file: set both, they name the files to make")
    users = UsersFile(settings.users_file)
    add_user(users, User(settings.link_user, is_service=True), settings.link_password_file)
    if settings.chat_user is not None and settings.chat_user_password_file is not None:
        chat = User(settings.chat_user, CHAT_TOPICS, CHAT_TOPICS)
        add_user(users, chat, settings.chat_user_password_file)
    return add_user(users, User(FIRST_USER, is_admin=True), password_file)


def add_user(users: UsersFile, user: User, password_file: Path) -> bool:
    """Add a missing user with generated password; return whether it is new."""
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

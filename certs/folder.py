"""A folder of certificates: completed and renewed, without overwriting others' certificates.

Certificates are *ours* to reissue if the folder holds the key of the CA that issued them, ``ca.key``.
"""

import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from certs import files
from certs.authority import Pair, SigningKey, is_issued_by, issue, issue_client, make_authority, permits
from certs.handshake import verify
from certs.names import DEFAULT_NAMES, parse_names, spell
from fanline.errors import ConfigurationError
from fanline.files import PRIVATE, PUBLIC, typed
from fanline.security.client_tls import CA_CERT
from fanline.security.tls import (
    CA_KEY,
    SERVER_CERT,
    SERVER_KEY,
    Name,
    names_of,
    read_certificates,
    read_key,
    require_current,
)
from fanline.security.users import User


class Done(StrEnum):
    """Result of the work on a certificate and its key."""

    MADE = "made"
    KEPT = "kept"
    REISSUED = "reissued"
    LEFT_ALONE = "made elsewhere, left alone"


class Outcome(NamedTuple):
    """Results for the CA and the server certificate of a folder."""

    authority: Done
    server: Done


def ensure(folder: Path, names: Sequence[str] = ()) -> Outcome:
    """Make missing certificates; keep valid ones.

    A new server certificate is valid for :data:`~certs.names.DEFAULT_NAMES` and for ``names``. If one of
    ours lacks some of ``names``, or has expired, it is reissued under the same CA for all its names.

    Concurrent calls, from other processes too, wait for each other.

    Args:
        folder: Folder of the certificates, made if missing.
        names: Additional DNS names and IP addresses.

    Raises:
        ConfigurationError: If a name is invalid, or if the files in the folder do not match, cannot be
            used, or could be made to match only by overwriting certificates that are not ours.
    """
    given = parse_names(names)
    files.make_folder(folder)
    with files.locked(folder):
        outcome = _complete(folder, given)
        verify(folder)
    return outcome


def renew(folder: Path, names: Sequence[str] = (), *, ca: bool = False) -> Outcome:
    """Reissue the server certificate, for its names and ``names``.

    It gets a new key.

    Args:
        folder: Folder of the certificates.
        names: Additional DNS names and IP addresses.
        ca: Make a new CA first. Clients that trust the old one then need the new ``ca.crt``.

    Raises:
        ConfigurationError: If a name is invalid, or the certificates are not ours to reissue.
    """
    given = parse_names(names)
    _require_ours(folder)
    with files.locked(folder):
        renewed = _union(_current_names(folder), given)
        authority = _replace_authority(folder, renewed) if ca else _read_current_authority(folder)
        _write_server(folder, authority, renewed)
        verify(folder)
    return Outcome(Done.MADE if ca else Done.KEPT, Done.REISSUED)


def make_client(folder: Path, name: str) -> Path:
    """Make a certificate with which a client logs in as user.

    An older one is replaced.

    Args:
        folder: Folder of the certificates, whose CA issues it.
        name: Name of the user.

    Returns:
        The file of the certificate; that of its key ends in ``.key``.

    Raises:
        ConfigurationError: If ``name`` is no user's name that a file can have, or there is no CA of ours.
    """
    User(name)  # raises if it is no user's name
    if "/" in name:
        raise ConfigurationError(f"{name!a}: a file cannot have this name; make its certificate elsewhere")
    path = folder / f"client-{name}.crt"
    if CA_KEY not in files.list_names(folder):
        problem = "there is no such file, and it issues client certificates"
        raise ConfigurationError(f"{folder / CA_KEY}: {problem}; `{typed('python')} -m certs` makes it")
    with files.locked(folder):
        client = issue_client(_read_current_authority(folder), name, datetime.now(UTC))
        files.replace(path.with_suffix(".key"), client.key_pem(), PRIVATE)
        files.replace(path, client.certificate_pem(), PUBLIC)
    return path


def _complete(folder: Path, given: list[Name]) -> Outcome:
    present = _present(folder)
    if not present:
        names = _union(parse_names(DEFAULT_NAMES), given)
        _write_server(folder, _write_authority(folder, names), names)
        return Outcome(Done.MADE, Done.MADE)
    if not _is_ours(folder, present):
        _leave_alone(folder, present, given)
        return Outcome(Done.LEFT_ALONE, Done.LEFT_ALONE)
    return Outcome(Done.KEPT, _complete_server(folder, present, given))


def _complete_server(folder: Path, present: set[str], given: list[Name]) -> Done:
    if _is_good(folder, present, given):
        return Done.KEPT
    names = _union(_current_names(folder), given)
    _write_server(folder, _read_current_authority(folder), names)
    return Done.REISSUED if SERVER_CERT in present else Done.MADE


def _is_good(folder: Path, present: set[str], given: list[Name]) -> bool:
    if not {SERVER_CERT, SERVER_KEY} <= present:
        return False
    certificate = read_certificates(folder / SERVER_CERT)[0]
    return set(given) <= set(names_of(certificate)) and datetime.now(UTC) < certificate.not_valid_after_utc


def _is_ours(folder: Path, present: set[str]) -> bool:
    """Return whether making the server certificate would overwrite no other one.

    Another one is one that was made elsewhere.
    """
    if CA_KEY not in present:
        return False
    _require(folder, {CA_CERT}, present)
    if SERVER_CERT in present:
        issuer = read_certificates(folder / CA_CERT)[0]
        return is_issued_by(read_certificates(folder / SERVER_CERT)[0], issuer)
    return SERVER_KEY not in present


def _leave_alone(folder: Path, present: set[str], given: list[Name]) -> None:
    """Check certificates made elsewhere; raise if they would have to be overwritten."""
    _require(folder, {CA_CERT, SERVER_CERT, SERVER_KEY}, present)
    path = folder / SERVER_CERT
    has = names_of(read_certificates(path)[0])
    if lacking := [name for name in given if name not in has]:
        problem = f"is not valid for {spell(lacking)}, and was not made here"
        raise ConfigurationError(f"{path}: {problem}; leave --name out, or replace the certificate")


def _require(folder: Path, needed: set[str], present: set[str]) -> None:
    if missing := needed - present:
        problem = f"is missing, while the folder has {', '.join(sorted(present))}; these are not overwritten"
        hint = "put it there, or move the other files away to have development certificates made"
        raise ConfigurationError(f"{folder / min(missing)}: {problem}; {hint}")


def _require_ours(folder: Path) -> None:
    present = _present(folder)
    if CA_KEY not in present:
        problem = "there is no such file, and nothing can be renewed without it"
        hint = "put it there, or renew the certificates where they were made"
        raise ConfigurationError(f"{folder / CA_KEY}: {problem}; {hint}")
    if not _is_ours(folder, present):
        path = folder / min(present & {SERVER_CERT, SERVER_KEY})
        problem = f"was not issued by {CA_CERT} of the same folder, and is not overwritten"
        raise ConfigurationError(f"{path}: {problem}; renew it where it was made, or move it away")


def _read_current_authority(folder: Path) -> Pair:
    authority = _read_authority(folder)
    require_current([authority.certificate], folder / CA_CERT)
    return authority


def _read_authority(folder: Path) -> Pair:
    certificate = read_certificates(folder / CA_CERT)[0]
    path = folder / CA_KEY
    key = read_key(path)
    if key.public_key() != certificate.public_key():
        raise ConfigurationError(
            f"{path}: does not belong to {CA_CERT} of the same folder; put the matching key there"
        )
    if not isinstance(key, SigningKey):
        hint = "issue the server certificate elsewhere"
        raise ConfigurationError(
            f"{path}: is neither an EC nor an RSA key, and other kinds are not supported; {hint}"
        )
    return Pair(certificate, key)


def _current_names(folder: Path) -> list[Name]:
    if SERVER_CERT not in _present(folder):
        return parse_names(DEFAULT_NAMES)
    return names_of(read_certificates(folder / SERVER_CERT)[0]) or parse_names(DEFAULT_NAMES)


def _replace_authority(folder: Path, names: Sequence[Name]) -> Pair:
    _read_authority(folder)  # raises if the key does not match the certificate
    return _write_authority(folder, names)


def _write_authority(folder: Path, names: Sequence[Name]) -> Pair:
    authority = make_authority(datetime.now(UTC), names)
    files.replace(folder / CA_KEY, authority.key_pem(), PRIVATE)
    files.replace(folder / CA_CERT, authority.certificate_pem(), PUBLIC)
    return authority


def _write_server(folder: Path, authority: Pair, names: list[Name]) -> None:
    if refused := [name for name in names if not permits(authority.certificate, name)]:
        problem = f"is constrained to other names than {spell(refused)}"
        options = " ".join(f"--name {name.value}" for name in refused)
        command = f"{typed('python')} -m certs renew --ca {options} --dir {shlex.quote(str(folder))}"
        hint = f"make a new one with `{command}`"
        raise ConfigurationError(f"{folder / CA_CERT}: {problem}; {hint}")
    server = issue(authority, names, datetime.now(UTC))
    # The certificate first: `ensure` can reissue a certificate of ours that has no key.
    files.replace(folder / SERVER_CERT, server.certificate_pem(), PUBLIC)
    files.replace(folder / SERVER_KEY, server.key_pem(), PRIVATE)


def _union(first: list[Name], second: list[Name]) -> list[Name]:
    return list(dict.fromkeys([*first, *second]))


def _present(folder: Path) -> set[str]:
    return files.list_names(folder) & {CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY}

"""The folder of an installation's certificates: what is missing is made, what is not ours is left alone.

Certificates are *ours* to reissue if the folder holds the key of the CA that issued them, ``ca.key``.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from certs import files
from certs.authority import Pair, SigningKey, is_issued_by, issue, make_authority
from certs.handshake import verify
from certs.names import DEFAULT_NAMES, Name, names_of, parse_names, spell
from fanline.errors import ConfigurationError
from fanline.security.tls import (
    CA_CERT,
    CA_KEY,
    SERVER_CERT,
    SERVER_KEY,
    read_certificates,
    read_key,
    require_current,
)


class Done(StrEnum):
    """What happened to a certificate and its key."""

    MADE = "made"
    KEPT = "kept"
    REISSUED = "reissued"
    LEFT_ALONE = "made elsewhere, left alone"


class Outcome(NamedTuple):
    """What happened in a folder."""

    authority: Done
    server: Done


def ensure(folder: Path, names: Sequence[str] = ()) -> Outcome:
    """Make the certificates that are missing; keep those that are good.

    A new server certificate is valid for :data:`~certs.names.DEFAULT_NAMES` and for ``names``. If one of
    ours lacks some of ``names``, or has expired, it is reissued under the same CA with all that it had.

    Concurrent calls, from other processes too, wait for each other.

    Args:
        folder: Where they are kept; made if it is not there.
        names: More DNS names and IP addresses.

    Raises:
        ConfigurationError: If a name is neither, or what is in the folder does not fit together, cannot be
            used, or could only be made to fit by overwriting what is not ours.
    """
    given = parse_names(names)
    files.make_folder(folder)
    with files.locked(folder):
        outcome = _complete(folder, given)
        verify(folder)
    return outcome


def renew(folder: Path, names: Sequence[str] = (), *, ca: bool = False) -> Outcome:
    """Reissue the server certificate, with the names that it has and ``names``, and with a new key.

    Args:
        folder: Where the certificates are.
        names: More DNS names and IP addresses.
        ca: Whether to make a new CA first. What trusts the old one then has to be given the new ``ca.crt``.

    Raises:
        ConfigurationError: If a name is neither, or the certificates are not ours to reissue.
    """
    given = parse_names(names)
    _require_ours(folder)
    with files.locked(folder):
        renewed = _union(_current_names(folder), given)
        authority = _replace_authority(folder) if ca else _read_current_authority(folder)
        _write_server(folder, authority, renewed)
        verify(folder)
    return Outcome(Done.MADE if ca else Done.KEPT, Done.REISSUED)


def _complete(folder: Path, given: list[Name]) -> Outcome:
    present = _present(folder)
    if not present:
        _write_server(folder, _write_authority(folder), _union(parse_names(DEFAULT_NAMES), given))
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
    """Whether the server certificate, there or not, can be made here without overwriting somebody's own."""
    if CA_KEY not in present:
        return False
    _require(folder, {CA_CERT}, present)
    if SERVER_CERT in present:
        issuer = read_certificates(folder / CA_CERT)[0]
        return is_issued_by(read_certificates(folder / SERVER_CERT)[0], issuer)
    return SERVER_KEY not in present


def _leave_alone(folder: Path, present: set[str], given: list[Name]) -> None:
    """Refuse what could only be done by overwriting certificates that are not ours."""
    _require(folder, {CA_CERT, SERVER_CERT, SERVER_KEY}, present)
    path = folder / SERVER_CERT
    has = names_of(read_certificates(path)[0])
    if lacking := [name for name in given if name not in has]:
        problem = f"is not valid for {spell(lacking)}, and was not made here"
        raise ConfigurationError(f"{path}: {problem}; leave --name out, or replace the certificate")


def _require(folder: Path, needed: set[str], present: set[str]) -> None:
    if missing := needed - present:
        problem = f"is missing beside {', '.join(sorted(present))}, and nothing is overwritten"
        hint = "put it there, or move the others away to have development certificates made"
        raise ConfigurationError(f"{folder / min(missing)}: {problem}; {hint}")


def _require_ours(folder: Path) -> None:
    present = _present(folder)
    if CA_KEY not in present:
        problem = "there is no such file, and nothing can be renewed without it"
        hint = "put it there, or renew the certificates where they were made"
        raise ConfigurationError(f"{folder / CA_KEY}: {problem}; {hint}")
    if not _is_ours(folder, present):
        path = folder / min(present & {SERVER_CERT, SERVER_KEY})
        problem = f"was not issued by {CA_CERT} beside it, and is not overwritten"
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
        raise ConfigurationError(f"{path}: does not belong to {CA_CERT} beside it; put the right one there")
    if not isinstance(key, SigningKey):
        hint = "issue the server certificate elsewhere"
        raise ConfigurationError(
            f"{path}: is neither an EC nor an RSA key, and no other is used here; {hint}"
        )
    return Pair(certificate, key)


def _current_names(folder: Path) -> list[Name]:
    if SERVER_CERT not in _present(folder):
        return parse_names(DEFAULT_NAMES)
    return names_of(read_certificates(folder / SERVER_CERT)[0]) or parse_names(DEFAULT_NAMES)


def _replace_authority(folder: Path) -> Pair:
    _read_authority(folder)  # a pair that does not fit is no CA of ours
    return _write_authority(folder)


def _write_authority(folder: Path) -> Pair:
    authority = make_authority(datetime.now(UTC))
    files.replace(folder / CA_KEY, authority.key_pem(), files.PRIVATE)
    files.replace(folder / CA_CERT, authority.certificate_pem(), files.PUBLIC)
    return authority


def _write_server(folder: Path, authority: Pair, names: list[Name]) -> None:
    server = issue(authority, names, datetime.now(UTC))
    # In this order, because a certificate of ours without its key is one that `ensure` can reissue.
    files.replace(folder / SERVER_CERT, server.certificate_pem(), files.PUBLIC)
    files.replace(folder / SERVER_KEY, server.key_pem(), files.PRIVATE)


def _union(first: list[Name], second: list[Name]) -> list[Name]:
    return list(dict.fromkeys([*first, *second]))


def _present(folder: Path) -> set[str]:
    return files.list_names(folder) & {CA_CERT, CA_KEY, SERVER_CERT, SERVER_KEY}

"""Checks of files and settings: certificates, keys, users, proxies."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import bcrypt
from cryptography import x509

from fanline.cli.doctor.findings import Finding, ok, problem, warning
from fanline.errors import ConfigurationError
from fanline.files import is_open_to_all, typed
from fanline.security.client_tls import CA_CERT
from fanline.security.exposure import check_exposure
from fanline.security.tls import (
    SERVER_CERT,
    SERVER_KEY,
    check_link_certificate,
    names_of,
    read_certificates,
    require_current,
    server_context,
)
from fanline.security.tokens import TokenKey
from fanline.security.users import Account, UsersFile
from fanline.settings import Settings

# So long before a certificate expires the services warn as well.
EARLY: Final = timedelta(days=14)

# nginx and HAProxy cut connections on which they have seen nothing for so long, unless told otherwise.
PROXY_IDLE_SECONDS: Final = 60

_RENEW: Final = "renew it (`python -m certs renew`, or your CA's way); services take it over by themselves"


def check_certificates(folder: Path, hosts: Sequence[str], now: datetime) -> Iterator[Finding]:
    """Check the certificates: their pair, their dates, and the names in them.

    Args:
        folder: Where they are.
        hosts: Names under which the services are reached.
        now: The time.
    """
    try:
        server_context(folder)
        chains = {name: read_certificates(folder / name)[0] for name in (SERVER_CERT, CA_CERT)}
    except ConfigurationError as error:
        yield problem("certificates", str(error), "without it no service starts: see above")
        return
    for name, certificate in chains.items():
        left = certificate.not_valid_after_utc - now
        text = f"{folder / name} is valid for {left.days} more days"
        if left < timedelta():
            yield problem("certificates", f"{folder / name} has expired: no client connects any more", _RENEW)
        elif left < EARLY:
            yield warning("certificates", text, _RENEW)
        else:
            yield ok("certificates", text)
    if is_open_to_all(folder / SERVER_KEY):
        text = (
            f"{folder / SERVER_KEY} can be read by every user of this machine, who can then pose as Fanline"
        )
        yield problem("certificates", text, "set its mode to 600, or to 640 for the group of the services")
    for host in sorted(set(hosts)):
        if not is_named(chains[SERVER_CERT], host):
            text = f"the certificate is not valid for {host}: clients that use this name refuse it"
            yield problem("certificates", text, f"make it again with `python -m certs make --name {host}`")


def check_client_ca(path: Path | None, now: datetime) -> Iterator[Finding]:
    """Check the CA certificates of client certificates, if there are any."""
    if path is None:
        return
    try:
        authorities = read_certificates(path)
        require_current(authorities, path)
    except ConfigurationError as error:
        yield problem("certificates", f"client_ca_file: {error}", "with it no service starts")
        return
    if not any(_is_authority(each) for each in authorities):
        text = f"client_ca_file {path} has no CA certificate: no client certificate is a login"
        yield problem("certificates", text, "name the certificate of the CA, not of a client")
    elif max(each.not_valid_after_utc for each in authorities) - now < EARLY:
        yield warning("certificates", f"client_ca_file {path} expires within 14 days", "get newer ones")
    else:
        yield ok("certificates", f"client certificates of {path} are logins")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def is_named(certificate: x509.Certificate, host: str) -> bool:
    """Return whether a certificate is valid for a host name or address."""
    names = {str(name.value).lower() for name in names_of(certificate)}
    return not {host.lower(), f"*.{host.lower().partition('.')[2]}"}.isdisjoint(names)


def check_token_key(key: TokenKey) -> Iterator[Finding]:
    """Check the key of the tokens."""
    if not key.exists:
        text = f"there is no token_key_file {key.path}: no token is a login"
        yield warning("tokens", text, f"if web pages are to log in, `{typed('fanline')} token` makes it")
        return
    try:
        key.check()
    except ConfigurationError as error:
        yield problem("tokens", str(error), "publisher and subscriber do not start with it")
    else:
        yield ok("tokens", "the key of the tokens can be used, and by no other user")


def check_users(settings: Settings) -> Iterator[Finding]:
    """Check the users file, its rights file, and the services' login."""
    if settings.users_file is None:
        try:
            check_exposure(settings)
        except ConfigurationError as error:
            yield problem("users", str(error), "the services do not start like this")
        else:
            yield ok("users", "there is no users_file: hello/test is the login, on this machine only")
        return
    try:
        with logged_warnings() as said:
            accounts = UsersFile(settings.users_file).read()
    except ConfigurationError as error:
        yield problem("users", str(error), "with this file no service starts")
        return
    for text in said:
        yield warning("users", text, f"`{typed('fanline')} user list` shows who may do what")
    if is_open_to_all(settings.users_file):
        text = f"{settings.users_file} can be read by every user of this machine"
        yield warning("users", text, "set its mode to 600")
    yield ok("users", f"{settings.users_file} has {len(accounts)} users")
    yield from check_link(settings, accounts)


def check_link(settings: Settings, accounts: dict[str, Account]) -> Iterator[Finding]:
    """Check the login with which services reach each other."""
    name = settings.link_user
    account = accounts.get(name)
    if account is None:
        text = f"there is no user {name}, as whom the services log in to msgqueue (link_user)"
        yield problem("users", text, f"`{typed('fanline')} user add {name} --service`")
        return
    if not account.user.is_service:
        text = f"{name} has no role service: publisher and subscriber are refused by msgqueue"
        yield problem("users", text, f"`{typed('fanline')} user add {name} --update --service`")
    try:
        check_link_certificate(settings)
        secret = settings.link_secret()
    except ConfigurationError as error:
        yield problem("users", str(error), "publisher and subscriber do not start like this")
        return
    if secret is None:
        yield ok("users", f"the services log in as {name}, with {settings.link_cert_file}")
    elif bcrypt.checkpw(secret.encode(), account.password_hash.encode()):
        yield ok("users", f"the services log in as {name}, with the right password")
    else:
        text = (
            f"the password of the services is not that of {name}: msgqueue refuses publisher and subscriber"
        )
        yield problem(
            "users", text, f"set link_password_file, or `{typed('fanline')} user add {name} --update`"
        )


def check_proxies(settings: Settings) -> Iterator[Finding]:
    """Check what is believed of proxies, and whether they cut idle connections."""
    wide = [str(each) for each in settings.trusted_proxies if each.num_addresses > 1 << 24]
    if wide:
        text = f"trusted_proxies has {', '.join(wide)}: a client in there can claim any address"
        yield problem("proxies", text, "name the addresses of the proxies, or their own network")
    if settings.ping_interval >= PROXY_IDLE_SECONDS:
        text = (
            f"ping_interval is {settings.ping_interval:g} s: proxies cut connections that are idle for "
            f"{PROXY_IDLE_SECONDS} s"
        )
        yield warning("proxies", text, "set it below half of what the proxies allow")
    if not settings.trusted_proxies and not settings.is_loopback:
        text = "no proxy is trusted: behind one, all clients would have its address, and share its limits"
        yield ok("proxies", text)
    elif not wide:
        yield ok("proxies", f"{len(settings.trusted_proxies)} networks of proxies are trusted")


def hosts_of(urls: Iterable[str]) -> list[str]:
    """Return the host names in URLs."""
    return [host for url in urls if (host := urlsplit(url).hostname)]


@contextmanager
def logged_warnings() -> Iterator[list[str]]:
    """Collect warnings of the block instead of logging them."""
    found: list[str] = []
    handler = _Collector(found.append)
    source = logging.getLogger("fanline.security.users")
    source.addHandler(handler)
    propagates, source.propagate = source.propagate, False
    try:
        yield found
    finally:
        source.removeHandler(handler)
        source.propagate = propagates


class _Collector(logging.Handler):
    def __init__(self, take: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._take = take

    def emit(self, record: logging.LogRecord) -> None:
        self._take(record.getMessage())


def now_in_utc() -> datetime:
    """Return the time."""
    return datetime.now(UTC)

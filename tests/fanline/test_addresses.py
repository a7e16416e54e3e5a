"""Tests of addresses: what is listened on, and how URLs are written."""

import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from fanline.addresses import (
    ListenUrl,
    bind,
    bind_unix,
    is_loopback,
    join_host_port,
    split_hosts,
    split_listen_url,
    split_url,
)
from fanline.errors import CannotListen
from fanline.server.workers import find_port


def bound_to(host: str) -> tuple[list[str], set[int]]:
    """Return the addresses that are bound to for a host, and the ports."""
    sockets = bind(host, 0)
    names = [each.getsockname() for each in sockets]
    for each in sockets:
        each.close()
    return [str(name[0]) for name in names], {int(name[1]) for name in names}


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1"]),
        ("::1", ["::1"]),
        ("127.0.0.1,::1", ["127.0.0.1", "::1"]),
        (" [::1] , 127.0.0.1 ,", ["::1", "127.0.0.1"]),
        ("127.0.0.1,127.0.0.1", ["127.0.0.1"]),
        ("::", ["::", "0.0.0.0"]),
        ("0.0.0.0", ["0.0.0.0"]),
    ],
)
def test_each_address_is_bound_to_on_one_port(host: str, addresses: list[str]) -> None:
    """Several addresses share a port, also a free one; `::` is all of both families."""
    if ":" in host and not has_ipv6():
        addresses = [address for address in addresses if ":" not in address]
    if addresses:
        found, ports = bound_to(host)
        assert (found, len(ports)) == (addresses, 1)


def test_localhost_is_loopback_of_both_families() -> None:
    """A client whose localhost is ::1 first reaches a service that listens on localhost."""
    addresses = {info[4][0] for info in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)}
    if not has_ipv6():
        addresses.discard("::1")
    assert set(bound_to("localhost")[0]) == addresses


@pytest.mark.parametrize("host", ["::", "::1,127.0.0.1", "127.0.0.1"])
def test_workers_find_a_port_of_both_families(host: str) -> None:
    """The port that workers share is free on every address."""
    if ":" in host and not has_ipv6():
        host = "127.0.0.1"
    port = find_port(host, 0)
    for shared in (bind(host, port, is_shared=True), bind(host, port, is_shared=True)):
        for each in shared:
            each.close()


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://0.0.0.0:9443", ListenUrl(False, False, "0.0.0.0", 9443, "")),
        ("proxy+https://[::]:9443", ListenUrl(True, False, "::", 9443, "")),
        ("http://localhost:0", ListenUrl(False, True, "localhost", 0, "")),
        ("proxy+http://127.0.0.2:80", ListenUrl(True, True, "127.0.0.2", 80, "")),
        ("unix:/run/fanline/chat.sock", ListenUrl(False, True, "", 0, "/run/fanline/chat.sock")),
        ("proxy+unix:/a", ListenUrl(True, True, "", 0, "/a")),
    ],
)
def test_a_url_to_listen_at_is_split(url: str, found: ListenUrl) -> None:
    """It says whether there is TLS, and whether proxies name their clients first (line 54)."""
    assert split_listen_url(url) == found


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://0.0.0.0:80", "without TLS, a service listens on a loopback address or a Unix socket only"),
        ("http://proxy.example:80", "without TLS, a service listens on a loopback"),
        ("https://127.0.0.1", "expected https://HOST:PORT"),
        ("https://127.0.0.1:x", "expected https://HOST:PORT"),
        ("https://127.0.0.1:80/path", "expected https://HOST:PORT"),
        ("unix:relative.sock", "expected https://HOST:PORT"),
        ("unix://host/path", "expected https://HOST:PORT"),
        ("wss://127.0.0.1:80", "expected https://HOST:PORT"),
        ("127.0.0.1:80", "expected https://HOST:PORT"),
    ],
)
def test_other_urls_to_listen_at_are_refused(url: str, sentence: str) -> None:
    """Above all one at which other machines would send their passwords without TLS (line 54)."""
    with pytest.raises(ValueError, match=sentence):
        split_listen_url(url)


def test_an_abandoned_unix_socket_is_replaced(tmp_path: Path) -> None:
    """One that a program still listens on is not; other users of the machine cannot open it (line 54)."""
    path = str(tmp_path / "a.sock")
    for _ in range(2):
        with bind_unix(path) as bound:
            bound.listen()
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
            with pytest.raises(OSError, match="in use"):
                bind_unix(path)


def test_a_taken_port_is_an_error_for_each_address() -> None:
    """A port that one address has not free is not listened on at the others alone."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use") as raised:
            bind("127.0.0.2,127.0.0.1", taken.getsockname()[1])
        assert raised.value.errno == errno.EADDRINUSE
        with socket.create_server(("127.0.0.2", taken.getsockname()[1])):
            pass  # it was released


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EADDRINUSE, "x"), "address already in use; stop the other program, or choose a port"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "this machine has no such address: set host to one that it has"),
        (OSError(errno.EAFNOSUPPORT, "x"), "this machine has no such address"),
        (
            OSError(errno.EACCES, "x"),
            "permission denied; this user may not listen there",
        ),
        (
            socket.gaierror(-2, "Name or service not known"),
            "name or service not known; this machine has",
        ),
    ],
)
def test_what_to_do_about_a_port_is_said(error: OSError, said: str) -> None:
    """Another program has to stop only where there is one, unlike on a machine with IPv6 alone."""
    text = str(CannotListen("chat_port", "127.0.0.1,::1", 8083, error))
    assert text.startswith("chat_port: cannot listen on 127.0.0.1:8083, [::1]:8083: ")
    assert said in text


@pytest.mark.parametrize(
    ("host", "expected"),
    [("localhost", True), ("::1", True), ("127.9.9.9", True), ("::", False), ("example.org", False)],
)
def test_loopback_is_of_this_machine_alone(host: str, expected: bool) -> None:
    """A name other than localhost may be the name of any machine."""
    assert is_loopback(host) is expected


def test_an_ipv6_address_has_brackets_in_a_url() -> None:
    """The URL that is printed can be typed."""
    assert join_host_port("::1", 8082) == "[::1]:8082"
    assert join_host_port("h", 8082) == "h:8082"
    assert split_hosts("[::1], h,") == ["::1", "h"]


@pytest.mark.parametrize("url", ["wss://h:8082", "wss://h", "wss://[::1]:8082/subscribe"])
def test_a_url_of_a_service(url: str) -> None:
    """Any host, with or without port and path."""
    assert split_url(url).geturl() == url


@pytest.mark.parametrize(
    "url", ["", "h:8082", "ws://h", "https://h", "wss://", "wss://h:x", "wss://h:0", "wss://h:70000",
            "wss://a..b", "wss://[::1", "wss://h\n"],
)  # fmt: skip
def test_another_url_is_refused(url: str) -> None:
    """Everything without TLS, host or valid port; the text names the URL."""
    with pytest.raises(ValueError, match="wss://"):
        split_url(url)


def test_a_password_in_a_url_is_not_shown() -> None:
    """It would be in a log."""
    with pytest.raises(ValueError, match="give them apart") as raised:
        split_url("wss://u:secret@h")
    assert "secret" not in str(raised.value)

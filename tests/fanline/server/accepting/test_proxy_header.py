"""The header of the PROXY protocol: what it says, and what is no header."""

import socket
import struct

import pytest

from fanline.server.accepting.proxy_header import MalformedHeader, ProxyHeader

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
TLS = b"\x16\x03\x01 begins a handshake"


def binary(command: int, kind: int, rest: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, kind, len(rest)) + rest


V4 = socket.inet_aton("203.0.113.9") + socket.inet_aton("10.0.0.5") + struct.pack("!HH", 4711, 443)
V6 = b"".join(socket.inet_pton(socket.AF_INET6, a) for a in ("2001:db8::1", "::1")) + struct.pack("!HH", 1, 2)
MAPPED = socket.inet_pton(socket.AF_INET6, "::ffff:1.2.3.4") * 2 + struct.pack("!HH", 1, 2)

HEADERS = [
    (b"PROXY TCP4 203.0.113.9 10.0.0.5 4711 443\r\n", ("203.0.113.9", 4711)),
    (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ("2001:db8::1", 1)),
    (b"PROXY UNKNOWN\r\n", None),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    (binary(0x21, 0x11, V4), ("203.0.113.9", 4711)),
    (binary(0x21, 0x11, V4 + b"\x04\x00\x02no"), ("203.0.113.9", 4711)),
    (binary(0x21, 0x21, V6), ("2001:db8::1", 1)),
    (binary(0x21, 0x21, MAPPED), ("1.2.3.4", 1)),
    (binary(0x21, 0x00, b""), None),
    (binary(0x21, 0x31, bytes(216)), None),
    (binary(0x20, 0x00, b""), None),
    (binary(0x20, 0x11, V4), None),
]


@pytest.mark.parametrize(("header", "source"), HEADERS)
def test_the_client_is_read(header: bytes, source: tuple[str, int] | None) -> None:
    """In both versions; what comes after the header is left, however it is cut (line 54)."""
    for cut in range(len(header)):
        proxied = ProxyHeader()
        taken = proxied.take(header[:cut])
        assert (taken, proxied.is_complete) == (cut, False)
        assert proxied.take(header[cut:] + TLS) == len(header) - cut
        assert (proxied.is_complete, proxied.source) == (True, source)


@pytest.mark.parametrize(
    "data",
    [
        TLS,
        b"GET / HTTP/1.1\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.5 4711\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.5 4711 443 1\r\n",
        b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.5 -1 443\r\n",
        b"PROXY TCP4 203.0.113.9 10.0.0.5 65536 443\r\n",
        b"PROXY TCP4 \xff 10.0.0.5 1 443\r\n",
        b"PROXY UDP4 203.0.113.9 10.0.0.5 4711 443\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 101,
        binary(0x11, 0x11, V4),
        binary(0x22, 0x11, V4),
        binary(0x21, 0x12, V4),
        binary(0x21, 0x11, V4[:-1]),
        binary(0x21, 0x21, V4),
        SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Nothing is guessed (line 54)."""
    with pytest.raises(MalformedHeader):
        ProxyHeader().take(data)

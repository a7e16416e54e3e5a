r"""The PROXY protocol header, by which a proxy names its client.

No I/O. Version 1 is a line, version 2 is binary (haproxy.org, proxy-protocol.txt, 2.1 and 2.2)::

    PROXY TCP4 203.0.113.9 10.0.0.5 4711 443\r\n

    0D 0A 0D 0A 00 0D 0A 51 55 49 54 0A   21   11   00 0C   address, address, port, port, further fields
    signature                             |    |    length of what follows
                                          |    TCP over IPv4; 21: over IPv6; 00, 31: no IP address
                                          version 2, PROXY; 20: LOCAL, a connection of the proxy's own
"""

import ipaddress
import struct
from typing import Final

from fanline.errors import FanlineError

# Bytes of a line of version 1, and of what follows the first 16 of version 2.
_MAX_LINE: Final = 107
MAX_REST: Final = 4_096

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_BEGIN: Final = b"PROXY "
_FIXED: Final = 16
_LOCAL, _PROXY = 0x20, 0x21

# How the addresses are packed, by family and transport; None where there are no IP addresses.
_LAYOUTS: Final = {0x11: "!4s4sHH", 0x21: "!16s16sHH", 0x00: None, 0x31: None}
_FAMILIES: Final = {b"TCP4": ipaddress.IPv4Address, b"TCP6": ipaddress.IPv6Address}

Source = tuple[str, int]


class MalformedHeader(FanlineError):
    """A connection begins without a valid PROXY protocol header."""


class ProxyHeader:
    """The header of one connection, which may come in pieces.

    Attributes:
        is_complete: Whether all of it is there.
        source: Address and port of the client; None if the connection is the proxy's own, or it names none.
    """

    def __init__(self) -> None:
        self.is_complete = False
        self.source: Source | None = None
        self._head = b""

    def take(self, seen: bytes) -> int:
        """Consume bytes of the header, and return how many.

        Raises:
            MalformedHeader: If the bytes cannot be of a header.
        """
        data = self._head + seen
        end = self._find_end(data)
        if end is None:
            self._head = data
            return len(seen)
        self.is_complete = True
        header = data[:end]
        self.source = _parse_binary(header) if header.startswith(_SIGNATURE) else _parse_line(header)
        return end - len(self._head)

    def _find_end(self, data: bytes) -> int | None:
        if data.startswith(_SIGNATURE[: len(data)]):
            if len(data) < _FIXED:
                return None
            (rest,) = struct.unpack_from("!H", data, _FIXED - 2)
            if rest > MAX_REST:
                raise MalformedHeader("the header of the PROXY protocol is too long")
            return _FIXED + rest if len(data) >= _FIXED + rest else None
        if not data.startswith(_BEGIN[: len(data)]):
            raise MalformedHeader("there is no header of the PROXY protocol")
        end = data.find(b"\r\n", 0, _MAX_LINE)
        if end < 0 and len(data) >= _MAX_LINE:
            raise MalformedHeader("the line of the PROXY protocol is too long")
        return end + 2 if end >= 0 else None


def _parse_line(line: bytes) -> Source | None:
    words = line[:-2].split(b" ")
    if words[1:2] == [b"UNKNOWN"]:
        return None
    try:
        _, family, source, destination, *ports = words
        parse = _FAMILIES[family]
        client = parse(source.decode("ascii"))
        parse(destination.decode("ascii"))
        port, _ = map(_port, ports)
    except (ValueError, KeyError):
        raise MalformedHeader("the line of the PROXY protocol is malformed") from None
    return str(client), port


def _port(digits: bytes) -> int:
    port = int(digits) if digits.isdigit() else -1
    if not 0 <= port <= 0xFFFF:
        raise ValueError(digits)
    return port


def _parse_binary(header: bytes) -> Source | None:
    command, kind = header[12], header[13]
    if command == _LOCAL:
        return None
    if command != _PROXY or kind not in _LAYOUTS:
        raise MalformedHeader("the header of the PROXY protocol is of a kind that is not known")
    layout = _LAYOUTS[kind]
    if layout is None:
        return None
    if len(header) < _FIXED + struct.calcsize(layout):
        raise MalformedHeader("the header of the PROXY protocol has too few bytes for its addresses")
    source, _, port, _ = struct.unpack_from(layout, header, _FIXED)
    address = ipaddress.ip_address(source)
    # What a listener for both families calls an IPv4 peer.
    return str(getattr(address, "ipv4_mapped", None) or address), port

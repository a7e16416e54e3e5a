"""Mosquitto over its WebSocket listener."""

import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from typing import ClassVar, Final

from bench.load.wire import BINARY, Stream, client_frame, server_header_size
from bench.peers.base import Dialect, SingleServer, Template, message
from bench.peers.process import free_port

# Debian installs it outside of a user's PATH.
_PLACES: Final = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")

_TO_MQTT: Final = str.maketrans({".": "/", "*": "+", ">": "#"})

# Version 2.0.11 does not start with a listener for WebSockets alone.
_CONFIGURATION: Final = """
listener {unused_port} 127.0.0.1
listener {port} 127.0.0.1
protocol websockets
certfile {certificates}/server.crt
keyfile {certificates}/server.key
allow_anonymous true
set_tcp_nodelay true
user {user}
"""


class MqttDialect(Dialect):
    """MQTT 3.1.1 in binary frames, each with one QoS 0 packet."""

    opcode = BINARY

    def subscribe(self, stream: Stream, topics: Sequence[str], after: int | None = None) -> None:
        del after
        self.prepare_publisher(stream)
        filters = b"".join(_string(topic) + b"\0" for topic in topics)
        stream.send(client_frame(_packet(0x82, struct.pack(">H", 1) + filters), BINARY))
        stream.read_until(_packet(0x90, struct.pack(">H", 1) + bytes(len(topics))))

    def prepare_publisher(self, stream: Stream, name: str = "publisher") -> None:
        del name
        stream.upgrade("/mqtt", {"Sec-WebSocket-Protocol": "mqtt"})
        clean_session, no_keepalive, no_name = b"\x02", b"\0\0", b"\0\0"
        body = _string("MQTT") + b"\x04" + clean_session + no_keepalive + no_name
        stream.send(client_frame(_packet(0x10, body), BINARY))
        stream.read_until(_packet(0x20, b"\0\0"))

    def payload(self, topic: str, size: int) -> Template:
        before, after = message(topic, size)
        return Template(_publish_head(topic, size) + before, after)

    def delivery_size(self, topic: str, size: int) -> int:
        whole = len(_publish_head(topic, size)) + size
        return whole + server_header_size(whole)


class Mosquitto(SingleServer):
    """One broker with its defaults, without persistence."""

    name: ClassVar[str] = "mosquitto"
    dialect: Dialect = MqttDialect()

    @classmethod
    def missing(cls) -> str | None:
        return None if _program() else "mosquitto is left out, it is missing: apt install mosquitto"

    @classmethod
    def version(cls) -> str:
        output = subprocess.run([str(_program()), "-h"], capture_output=True, text=True, check=False)
        found = re.search(r"version (\S+)", output.stdout)
        return found[1] if found else "unknown"

    def command(self) -> Sequence[str]:
        configuration = self.folder / "mosquitto.conf"
        user = (
            self.certificates.owner()
        )  # started by root, it would change to a user who may not read the key
        ports = {"port": self.port, "unused_port": free_port()}
        configuration.write_text(_CONFIGURATION.format(certificates=self.certificates, user=user, **ports))
        return [str(_program()), "-c", str(configuration)]


def _packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT control packet (MQTT 3.1.1, 2.2)."""
    return bytes([kind]) + _variable_length(len(body)) + body


def _publish_head(topic: str, size: int) -> bytes:
    """Return a PUBLISH packet up to its payload of ``size`` bytes."""
    name = _string(topic)
    return b"\x30" + _variable_length(len(name) + size) + name


def _string(text: str) -> bytes:
    encoded = text.translate(_TO_MQTT).encode()
    return struct.pack(">H", len(encoded)) + encoded


def _variable_length(number: int) -> bytes:
    """Return a number in groups of seven bits, least first.

    See MQTT 3.1.1, 2.2.3.
    """
    groups = bytearray()
    while True:
        number, low = divmod(number, 128)
        groups.append(low | (0x80 if number else 0))
        if not number:
            return bytes(groups)


def _program() -> str | None:
    return next((found for place in _PLACES if (found := shutil.which(place))), None)

"""Mosquitto, over its WebSocket listener."""

import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from typing import ClassVar, Final

from bench.peers.base import Dialect, Plain, Template, framed
from bench.peers.single import SingleServer
from bench.processes import free_port
from bench.wire import BINARY, Stream, client_frame, server_header_size

# Debian puts it where the PATH of a user does not reach.
_PLACES: Final = ("mosquitto", "/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto")

_TO_MQTT: Final = str.maketrans({".": "/", "*": "+", ">": "#"})

# Without a listener of the other kind, the one for WebSockets is not enough for version 2.0.11 to start.
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
    """MQTT 3.1.1 in binary frames, with QoS 0: one packet to a frame."""

    def subscribe(self, stream: Stream, topics: Sequence[str]) -> None:
        """Connect, subscribe to each topic, and wait for the answer."""
        self.prepare_publisher(stream)
        filters = b"".join(_string(topic.translate(_TO_MQTT)) + b"\0" for topic in topics)
        stream.send(client_frame(packet(0x82, struct.pack(">H", 1) + filters), BINARY))
        stream.read_until(packet(0x90, struct.pack(">H", 1) + bytes(len(topics))))

    def prepare_publisher(self, stream: Stream) -> None:
        """Connect."""
        stream.upgrade("/mqtt", {"Sec-WebSocket-Protocol": "mqtt"})
        clean_session, no_keepalive, no_name = b"\x02", b"\0\0", b"\0\0"
        body = _string("MQTT") + b"\x04" + clean_session + no_keepalive + no_name
        stream.send(client_frame(packet(0x10, body), BINARY))
        stream.read_until(packet(0x20, b"\0\0"))

    def publication(self, topic: str, size: int) -> Template:
        """Return a PUBLISH."""
        message = Plain(topic, size).template()
        return framed(Template(_publish_head(topic, size) + message.before, message.after), BINARY)

    def delivery_size(self, topic: str, size: int) -> int:
        """Return the PUBLISH with the header of its frame."""
        whole = len(_publish_head(topic, size)) + size
        return whole + server_header_size(whole)


class Mosquitto(SingleServer):
    """One broker, as it is by default, without its persistence."""

    name: ClassVar[str] = "mosquitto"
    dialect: Dialect = MqttDialect()

    @classmethod
    def missing(cls) -> str | None:
        """Return whether it is installed."""
        return "mosquitto is not there: apt install mosquitto" if _program() is None else None

    @classmethod
    def version(cls) -> str:
        """Return what the program says."""
        said = subprocess.run([str(_program()), "-h"], capture_output=True, text=True, check=False)
        found = re.search(r"version (\S+)", said.stdout)
        return found[1] if found else "unknown"

    def command(self) -> Sequence[str]:
        """Write the configuration, and return the program with it."""
        configuration = self.folder / "mosquitto.conf"
        user = self.certificates.owner()  # as root it would become a user who may not read the key
        configuration.write_text(
            _CONFIGURATION.format(
                port=self.port, unused_port=free_port(), certificates=self.certificates, user=user
            )
        )
        return [str(_program()), "-c", str(configuration)]


def packet(kind: int, body: bytes) -> bytes:
    """Return an MQTT control packet (MQTT 3.1.1, 2.2)."""
    return bytes([kind]) + _variable_length(len(body)) + body


def _publish_head(topic: str, size: int) -> bytes:
    """Return a PUBLISH packet up to its payload of ``size`` bytes."""
    name = _string(topic.translate(_TO_MQTT))
    return b"\x30" + _variable_length(len(name) + size) + name


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _variable_length(number: int) -> bytes:
    """Return a number in groups of seven bits, the least first (MQTT 3.1.1, 2.2.3)."""
    groups = bytearray()
    while True:
        number, low = divmod(number, 128)
        groups.append(low | (0x80 if number else 0))
        if not number:
            return bytes(groups)


def _program() -> str | None:
    return next((found for place in _PLACES if (found := shutil.which(place))), None)

"""Check of NATS servers: acknowledged data must be on disk."""

import ssl
from collections.abc import Sequence
from typing import Final

import httpx
import msgspec

from fanline.errors import ConfigurationError

TIMEOUT_SECONDS: Final = 5.0


class _JetStreamConfig(msgspec.Struct, frozen=True):
    sync_always: bool = False


class _JetStream(msgspec.Struct, frozen=True):
    config: _JetStreamConfig = _JetStreamConfig()


class _Variables(msgspec.Struct, frozen=True):
    """Variables of a server, as ``/varz`` has them."""

    server_name: str = "?"
    jetstream: _JetStream = _JetStream()


async def require_synced(urls: Sequence[str], tls: ssl.SSLContext) -> None:
    """Check by their monitoring ports that all servers sync before they acknowledge.

    Args:
        urls: ``https://HOST:PORT`` of each server's monitoring port.
        tls: Verifies them.

    Raises:
        ConfigurationError: If one does not, or most of them do not answer.
    """
    silent: list[str] = []
    async with httpx.AsyncClient(verify=tls, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        for url in urls:
            try:
                answer = await client.get(f"{url}/varz")
                found = msgspec.json.decode(answer.content, type=_Variables)
            except (httpx.HTTPError, msgspec.DecodeError) as error:
                silent.append(f"{url}: {error or type(error).__name__}")
                continue
            if not found.jetstream.config.sync_always:
                raise ConfigurationError(
                    f"nats_monitor_urls: the server {found.server_name} at {url} acknowledges what is not on"
                    " disk yet: set sync_interval: always in the jetstream block of its configuration"
                )
    if 2 * len(silent) >= len(urls):
        raise ConfigurationError(
            "nats_monitor_urls: most of the servers cannot be asked whether they sync what they acknowledge:"
            f" {'; '.join(silent)}"
        )

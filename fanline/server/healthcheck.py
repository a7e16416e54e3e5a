"""Health check of a local service: ``python -m fanline.server.healthcheck msgqueue``.

This is the health check of the container images. It reads the settings that the service itself reads, and
ends with 0 if the service answers ``/healthz``, or else with 1 and one sentence on standard error.
"""

import argparse
import http.client
import sys
from collections.abc import Sequence
from http import HTTPStatus
from typing import Final

from fanline.addresses import EVERY_ADDRESS, join_host_port, split_hosts
from fanline.errors import Disconnected, FanlineError
from fanline.protocol import basic_authorization
from fanline.security.tls import link_context
from fanline.setting_sources import SERVICES, read_service
from fanline.settings import ServiceSettings, Settings

_TIMEOUT: Final = 3.0


def check(settings: ServiceSettings, path: str = "/healthz", login: tuple[str, str] | None = None) -> None:
    """Check that a service is alive, or, with ``/readyz``, ready.

    Args:
        settings: Those of the service: its address, its port, and where the CA certificate is.
        path: Where to ask.
        login: User and password, without which ``/readyz`` gives no reason.

    Raises:
        ConfigurationError: If the CA certificate cannot be read.
        Disconnected: If there is no answer within :data:`_TIMEOUT` seconds, or another one than 200.
    """
    service, host, port = settings.service, reachable_host(settings), settings.port
    where = join_host_port(host, port)
    context = link_context(settings)
    connection = http.client.HTTPSConnection(host, port, timeout=_TIMEOUT, context=context)
    try:
        headers = {} if login is None else {"Authorization": basic_authorization(*login)}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        said = response.read().decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        raise Disconnected(f"{service} does not answer at {where}: {error}") from error
    finally:
        connection.close()
    if response.status != HTTPStatus.OK:
        raise Disconnected(f"{service} at {where} answers {response.status} to {path}: {said}")


def reachable_host(settings: Settings) -> str:
    """Return the host under which this machine reaches its own services."""
    first, *_ = split_hosts(settings.host)
    return "localhost" if first in EVERY_ADDRESS else first


def main(argv: Sequence[str] | None = None) -> None:
    """Check the service that the command line names."""
    parser = argparse.ArgumentParser(
        prog="python -m fanline.server.healthcheck", description="Is a service alive?"
    )
    parser.add_argument("service", choices=SERVICES)
    service = parser.parse_args(argv).service
    try:
        check(read_service(service))
    except FanlineError as error:
        sys.exit(f"healthcheck: {error}")


if __name__ == "__main__":
    main()

"""The services of an installation: their states, and requests to them."""

import asyncio
import re
import time
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, Self
from urllib.parse import quote

import msgspec

from fanline.client.transport.https import HttpsClient, Response
from fanline.client.transport.login import Login
from fanline.errors import ConfigurationError, Disconnected
from fanline.security.tls import link_context
from fanline.server.status.report import ServiceStatus
from fanline.settings import Settings

_TIMEOUT: Final = 3.0

# Clocks that differ by more seconds are a problem: messages get their time from that of msgqueue.
CLOCK_SECONDS: Final = 1.0

# The samples of the last minutes.
RECENT_SAMPLES: Final = 60

# What any admin may ask a service for, so that it does not matter whose login the service sees.
_FOR_ANY_ADMIN: Final = "admin/"

# What is passed on to a service, by method.
_PASSED_ON: Final = {
    "GET": re.compile(r"admin/(status|connections)"),
    "POST": re.compile(r"admin/(disconnect|revocations)|topics/.+/messages"),
}


class ServiceEntry(msgspec.Struct):
    """A service, as it was found.

    Attributes:
        name: Its name; of several msgqueues with a number.
        url: Where it was asked.
        problem: Why it does not answer; null if it does.
        clock_offset: Seconds by which its clock is ahead of that of the service that asked.
        round_trip: Seconds that its answer took; the offset is exact to half of this.
        status: What it says of itself.
    """

    name: str
    url: str
    problem: str | None = None
    clock_offset: float | None = None
    round_trip: float | None = None
    status: ServiceStatus | None = None


class ServiceList(msgspec.Struct):
    """All services of an installation.

    Attributes:
        time: When they were asked, in Unix seconds.
        services: In the order in which messages pass them.
    """

    time: float
    services: Sequence[ServiceEntry]


class NotPassedOn(Exception):
    """There is no such service, or no such path to ask."""


class LoginNeeded(Exception):
    """A login that a service has to judge cannot be passed on."""


class KnownServices:
    """The services that the settings name.

    Args:
        clients: A client of each, by its name.
        clock: Returns Unix seconds.
    """

    def __init__(self, clients: Mapping[str, HttpsClient], clock: Callable[[], float] = time.time) -> None:
        self._clients = clients
        self._clock = clock

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the installation, with requests as the services' user.

        Raises:
            ConfigurationError: If the CA or the password file cannot be read, or a URL is wrong.
        """
        login = Login.of_user(settings.link_user, settings.link_secret())
        tls = link_context(settings)
        return cls(
            {
                name: HttpsClient(url, tls=tls, timeout=_TIMEOUT, login=login)
                for name, url in addresses(settings).items()
            }
        )

    def close(self) -> None:
        """Close every connection that is idle."""
        for client in self._clients.values():
            client.close()

    async def ask_all(self, samples: int) -> ServiceList:
        """Return the state of all services, as each reports it.

        A service that does not answer costs three seconds.

        Args:
            samples: How many of the newest samples to include.
        """
        now = self._clock()
        asking = (self._ask(name, client, samples) for name, client in self._clients.items())
        return ServiceList(now, await asyncio.gather(*asking))

    async def _ask(self, name: str, client: HttpsClient, samples: int) -> ServiceEntry:
        entry = ServiceEntry(name, client.url)
        asked_at = self._clock()
        try:
            response = await client.request("GET", "/admin/status", {"samples": samples})
            if response.status != HTTPStatus.OK:
                raise Disconnected(
                    f"it answers {response.status}: {response.body[:200].decode(errors='replace')}"
                )
            entry.status = msgspec.json.decode(response.body, type=ServiceStatus)
        except (Disconnected, ConfigurationError, msgspec.DecodeError) as error:
            entry.problem = str(error)
        else:
            entry.round_trip = self._clock() - asked_at
            entry.clock_offset = entry.status.time - (asked_at + entry.round_trip / 2)
        return entry

    async def pass_on(
        self, name: str, method: str, path: str, query: str, *, body: bytes, authorization: str | None
    ) -> Response:
        """Return what a service answers to a request of an admin.

        Args:
            name: The service.
            method: GET or POST.
            path: What is asked for, without the first slash.
            query: As it came, without the question mark.
            body: JSON, or nothing.
            authorization: The login of the admin; None for a client certificate, which ends here: what any
                admin may ask for is then asked as the user that services log in as, who may do more.

        Raises:
            NotPassedOn: If it may not be asked for.
            LoginNeeded: If that depends on the rights of the admin, and there is no login to pass on.
            Disconnected: If the service does not answer.
        """
        client = self._clients.get(name)
        if client is None or not _PASSED_ON[method].fullmatch(path):
            raise NotPassedOn
        if authorization is None and not path.startswith(_FOR_ANY_ADMIN):
            raise LoginNeeded
        target = f"/{quote(path)}" + (f"?{query}" if query else "")
        headers = {} if authorization is None else {"Authorization": authorization}
        return await client.request(method, target, body=body, headers=headers)


def addresses(settings: Settings) -> dict[str, str]:
    """Return the services' URLs by name, in the order of messages."""
    queues = settings.queue_url.split(",")
    several = {f"msgqueue-{number}": url for number, url in enumerate(queues, 1)}
    return {
        "publisher": settings.publisher_url,
        **(several if len(queues) > 1 else {"msgqueue": queues[0]}),
        "subscriber": settings.subscriber_url,
        **({"chat": settings.chat_url} if settings.chat_url else {}),
    }

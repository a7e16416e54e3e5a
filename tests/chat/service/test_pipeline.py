"""The connections to the pipeline, and what becomes of them where it refuses this server."""

import asyncio
import ssl
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from chat.service.pipeline import LogReplaced, PipelineConnection
from fanline.client import Publisher, Subscriber
from fanline.errors import ErrorCode, Rejected
from fanline.tasks import running_task
from tests.chat.conftest import MakeSettings
from tests.conftest import until
from tests.stubs import PASSWORD, USER, StubPublisher, StubSubscriber


@pytest.fixture
def make_connection(
    make_chat_settings: MakeSettings, tls: ssl.SSLContext
) -> Callable[[StubPublisher, StubSubscriber], PipelineConnection]:
    """Make connections that try again soon."""

    def make(publisher: StubPublisher, subscriber: StubSubscriber) -> PipelineConnection:
        settings = make_chat_settings(publisher_url=publisher.url, subscriber_url=subscriber.url)
        login = {"user": USER, "password": PASSWORD, "tls": tls}
        return PipelineConnection(settings, login, retry_delay=0.05)

    return make


async def test_a_refused_login_may_be_put_right(
    cert_dir: Path, make_connection: Callable[[StubPublisher, StubSubscriber], PipelineConnection]
) -> None:
    """While the pipeline refuses the login that is the problem; once it does not, all is well."""
    seen: list[str] = []

    async def session(publisher: Publisher, subscriber: Subscriber) -> None:
        seen.append((await anext(subscriber)).topic)

    async with StubPublisher(cert_dir) as publisher, StubSubscriber(cert_dir) as subscriber:
        connection = make_connection(publisher, subscriber)
        assert connection.problem is not None
        subscriber.answer = HTTPStatus.UNAUTHORIZED
        async with running_task(connection.run(lambda: 0, session)):
            await until(lambda: len(subscriber.logins) > 2)
            await until(lambda: "refuses user" in (connection.problem or ""))
            subscriber.answer = None
            await until(lambda: connection.problem is None)
            await subscriber.until(lambda: subscriber.is_subscribed("chat.>"))
            await subscriber.publish("chat.rooms", 1)
            await until(lambda: seen == ["chat.rooms"])


async def test_it_goes_on_where_it_was(
    cert_dir: Path, make_connection: Callable[[StubPublisher, StubSubscriber], PipelineConnection]
) -> None:
    """Each session begins after the current position."""
    position = 0
    sessions = 0

    async def session(publisher: Publisher, subscriber: Subscriber) -> None:
        nonlocal position, sessions
        sessions += 1
        async with asyncio.TaskGroup():
            position = (await anext(subscriber)).seq
            raise Rejected(ErrorCode.FORBIDDEN, "not now")

    async with StubPublisher(cert_dir) as publisher, StubSubscriber(cert_dir) as subscriber:
        for n in range(3):
            subscriber.store("chat.rooms", n)
        connection = make_connection(publisher, subscriber)
        async with running_task(connection.run(lambda: position, session)):
            await until(lambda: sessions == 3 and position == 3)


async def test_another_log_is_told(
    cert_dir: Path, make_connection: Callable[[StubPublisher, StubSubscriber], PipelineConnection]
) -> None:
    """A position that the log does not have ends it: it is not the log that was read before."""

    async def session(publisher: Publisher, subscriber: Subscriber) -> None:
        raise Rejected(ErrorCode.BAD_POSITION, "after must be 0 to 4")

    async with StubPublisher(cert_dir) as publisher, StubSubscriber(cert_dir) as subscriber:
        with pytest.raises(LogReplaced, match="0 to 4"):
            await make_connection(publisher, subscriber).run(lambda: 99, session)


async def test_a_defect_is_not_swallowed(
    cert_dir: Path, make_connection: Callable[[StubPublisher, StubSubscriber], PipelineConnection]
) -> None:
    """An error that is not about the pipeline ends it."""

    async def session(publisher: Publisher, subscriber: Subscriber) -> None:
        raise KeyError("a defect")

    async with StubPublisher(cert_dir) as publisher, StubSubscriber(cert_dir) as subscriber:
        with pytest.raises(KeyError):
            await make_connection(publisher, subscriber).run(lambda: 0, session)

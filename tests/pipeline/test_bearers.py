"""Web pages on the pipeline itself: tokens, from the command line to the log, through the real services."""

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Origin, Subprotocol

from fanline import History, Publisher, Subscriber
from fanline.protocol import SUBPROTOCOL
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.server import Service
from msgqueue.app import open_msgqueue
from publisher.app import open_publisher
from subscriber.app import open_subscriber
from tests.conftest import Dial, StartService, WallClock, receive_objects
from tests.stubs import DEADLINE

PAGE = "https://pages.example.org"


@dataclass
class Installation:
    """The two edges, and what a page needs to use them."""

    publisher: Service
    subscriber: Service
    tls: ssl.SSLContext
    key: TokenKey
    clock: WallClock

    def token(self, name: str = "page", *, lifetime: float = 60, **rights: Any) -> str:
        return self.key.issue(Claims.new(name, lifetime=lifetime, **rights), PIPELINE)

    def open(self, service: Service, path: str, token: str) -> connect:
        """Open a WebSocket as a browser does for a page: with its origin, and the token in the query."""
        url = f"wss://localhost:{service.port}{path}?token={token}"
        v1 = [Subprotocol(SUBPROTOCOL)]
        return connect(
            url, ssl=self.tls, origin=Origin(PAGE), subprotocols=v1, proxy=None, open_timeout=DEADLINE
        )

    def publish_with(self, token: str) -> connect:
        return self.open(self.publisher, "/publish", token)

    def subscribe_with(self, token: str) -> connect:
        return self.open(self.subscriber, "/subscribe", token)


@pytest.fixture
async def installation(start_service: StartService, tls: ssl.SSLContext, tmp_path: Path) -> Installation:
    """All services, with two users, a key, and a page elsewhere that may use them."""
    users = UsersFile(tmp_path / "users")
    users.put(User("pipeline", is_service=True), "secret", cost=4)
    users.put(User("alice"), "secret", cost=4)
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    common: dict[str, Any] = {
        "users_file": users.path,
        "link_user": "pipeline",
        "link_password": "secret",
        "allowed_origins": (PAGE,),
    }
    queue = await start_service(open_msgqueue, **common)
    common["queue_url"] = f"wss://localhost:{queue.port}"
    clock = WallClock()
    publisher = await start_service(open_publisher, wall_clock=clock, **common)
    subscriber = await start_service(open_subscriber, wall_clock=clock, **common)
    return Installation(publisher, subscriber, tls, key, clock)


async def say(client: ClientConnection, **message: object) -> dict[str, Any]:
    await client.send(msgspec.json.encode(message).decode())
    (answer,) = await receive_objects(client, 1)
    return answer


async def test_a_page_publishes_and_subscribes(installation: Installation) -> None:
    """With a token for each, what a page publishes reaches the other, from the name in the token."""
    writing = installation.token(publish=("orders.*",))
    reading = installation.token(subscribe=("orders.>",))
    async with installation.publish_with(writing) as writer, installation.subscribe_with(reading) as reader:
        assert (await say(reader, sub="orders.eu"))["subscribed"] == "orders.eu"
        assert (await say(writer, topic="orders.eu", content=1, id="a"))["seq"] == 1
        (message,) = await receive_objects(reader, 1)
    assert (message["from"], message["content"], message["id"]) == ("page", 1, "a")


async def test_a_token_allows_what_it_says_and_no_more(installation: Installation) -> None:
    """Other topics, other patterns, the names of other users, and rights of other topics are refused."""
    token = installation.token(publish=("orders.*",), subscribe=("news.>",))
    async with installation.publish_with(token) as publisher, installation.subscribe_with(token) as reader:
        for message in (
            {"topic": "news.eu", "content": 1},
            {"topic": "orders.eu.new", "content": 1},
            {"topic": "$sys", "content": 1},
            {"topic": "orders.eu", "content": 1, "from": "alice"},
            {"topic": "orders.eu", "content": 1, "type": "join"},
        ):
            assert (await say(publisher, **message))["error"] == "forbidden"
        for pattern in (">", "*", "orders.eu", "news"):
            assert (await say(reader, sub=pattern))["error"] == "forbidden"
        assert (await say(reader, sub="news.eu"))["subscribed"] == "news.eu"


async def test_ids_of_tokens_and_users_are_apart(installation: Installation, dial: Dial) -> None:
    """An id counts once for all tokens of a name, and has nothing to do with the same id of a user."""
    login = {"user": "alice", "password": "secret"}
    async with (
        installation.publish_with(installation.token("page", publish=("t",))) as one,
        installation.publish_with(installation.token("page", publish=("t",))) as two,
        installation.publish_with(installation.token("other", publish=("t",))) as other,
    ):
        alice = await dial(installation.publisher, "/publish", **login)
        answers = [await say(each, topic="t", content=1, id="k") for each in (alice, one, two, other)]
    assert [(answer["seq"], answer.get("duplicate", False)) for answer in answers] == [
        (1, False),
        (2, False),
        (2, True),
        (3, False),
    ]


@pytest.mark.parametrize("edge", ["publish_with", "subscribe_with"])
async def test_an_edge_lets_go_of_who_has_expired(installation: Installation, edge: str) -> None:
    """Both edges close a connection with 4001 when its token expires, and let it in with a new one."""
    dial: Callable[[str], connect] = getattr(installation, edge)
    async with dial(installation.token(lifetime=60, publish=("t",))) as client:
        installation.clock.offset = 120
        with pytest.raises(ConnectionClosed):
            await client.recv()
        assert client.close_code == 4001
    async with dial(installation.token(lifetime=600, publish=("t",))) as client:
        await client.ping()


async def test_a_page_reads_history(installation: Installation, dial: Dial) -> None:
    """A page reads what its token covers, by a request without preflight; no link repeats the token."""
    alice = await dial(installation.publisher, "/publish", user="alice", password="secret")
    for number in range(3):
        await say(alice, topic="t", content=number)
    token = installation.token(subscribe=("t",))
    url = f"https://localhost:{installation.subscriber.port}"
    async with httpx.AsyncClient(
        base_url=url, verify=installation.tls, trust_env=False, headers={"Origin": PAGE}, timeout=DEADLINE
    ) as http:
        page = await http.get(f"/topics/t/messages?last=2&token={token}")
        assert [message["content"] for message in page.json()] == [1, 2]
        assert page.headers["Access-Control-Allow-Origin"] == PAGE
        assert token not in str(page.headers)
        (older,) = re.findall(r'<([^>]+)>; rel="prev"', page.headers["Link"])
        assert [message["content"] for message in (await http.get(f"{older}&token={token}")).json()] == [0]
        assert (await http.get(f"/topics/other/messages?token={token}")).status_code == 403
        assert (await http.get(older)).status_code == 401


async def test_a_token_is_renewed_on_an_open_connection(installation: Installation) -> None:
    """The new one counts, with its rights and its end; subscriptions that it does not cover end (line 46)."""
    first = installation.token(lifetime=600, publish=("a",), subscribe=("a", "b"))
    second = installation.token(lifetime=1_800, publish=("b",), subscribe=("b", "c"))
    async with installation.publish_with(first) as publisher, installation.subscribe_with(first) as reader:
        assert (await say(publisher, topic="a", content=1))["seq"] == 1
        for pattern in ("a", "b"):
            assert (await say(reader, sub=pattern))["subscribed"] == pattern
        await reader.send(msgspec.json.encode([{"sub": "c"}]).decode())
        assert (await receive_objects(reader, 1))[0]["error"] == "forbidden"
        assert (await say(publisher, token=second))["token"]["expires"] > installation.clock() + 1_700
        await reader.send(f'\n{{ "token": "{second}" }}')
        ended, renewed = await receive_objects(reader, 2)
        assert (ended["error"], ended["sub"]) == ("forbidden", "a")
        assert renewed["token"]["expires"] > installation.clock() + 1_700
        installation.clock.offset = 700  # after the end of the first
        assert (await say(publisher, topic="a", content=1))["error"] == "forbidden"
        assert (await say(reader, sub="c"))["subscribed"] == "c"
        assert (await say(publisher, topic="b", content=2))["seq"] == 2
        assert (await receive_objects(reader, 1))[0]["content"] == 2
        installation.clock.offset = 1_900
        for client in (publisher, reader):
            await client.wait_closed()
            assert client.close_code == 4001


async def test_a_renewal_that_is_refused_changes_nothing(installation: Installation) -> None:
    """Tokens of another name, for another use or that are none are refused, and the connection goes on."""
    token = installation.token(publish=("a",))
    async with installation.publish_with(token) as publisher:
        for wrong, reason in (
            (installation.token("other"), "the token is of another user than this connection"),
            (installation.token(lifetime=-5), "the token has expired: log in again"),
            ("nonsense", "the token is malformed: log in again"),
        ):
            refusal = {"error": "unauthorized", "reason": reason}
            assert await say(publisher, token=wrong) == {"token": refusal}
        assert (await say(publisher, topic="a", content={"token": 1}))["seq"] == 1
        assert (await say(publisher, token=1, topic="a", content=1))["seq"] == 2


async def test_python_clients_fetch_their_tokens(installation: Installation) -> None:
    """Publisher, subscriber and history log in with what a function returns."""
    fetch = partial(installation.token, publish=("t",), subscribe=("t",))
    reading = f"wss://localhost:{installation.subscriber.port}"
    publisher = Publisher(f"wss://localhost:{installation.publisher.port}", token=fetch, tls=installation.tls)
    subscriber = Subscriber("t", url=reading, token=fetch, tls=installation.tls, after=0)
    async with publisher, subscriber, History(reading, token=fetch, tls=installation.tls) as history:
        assert (await publisher.publish("t", 1)).seq == 1
        assert (await anext(aiter(subscriber))).sender == "page"
        assert len((await history.page("t")).messages) == 1

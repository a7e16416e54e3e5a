"""Logging in and out over HTTP, and what is known before."""

import asyncio
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from fanline.security.tokens import CHAT, Claims, TokenKey
from tests.chat.client import ChatClient, bearer, problem
from tests.chat.conftest import StartChat
from tests.conftest import WallClock
from tests.stubs import DEADLINE, PASSWORD

# Before a login.


async def test_about_tells_what_is_allowed(chat: ChatClient, start_chat: StartChat) -> None:
    """Without a login the page learns the name of the server, whether guests are allowed, and the limits."""
    limits = {"message": 16_384, "name": 64, "roomId": 64}
    about = {"name": "Fanline chat", "guests": True, "limits": limits, "restoreSeconds": 86_400}
    assert (await chat.http.get("/api/about")).json() == about
    other = await start_chat(chat_guests=False, chat_name="Ops", chat_max_message=4096)
    about = {"name": "Ops", "guests": False, "limits": limits | {"message": 4096}, "restoreSeconds": 86_400}
    assert (await other.http.get("/api/about")).json() == about


# Logging in and out.


async def test_a_login_gives_a_token_for_a_day(chat: ChatClient) -> None:
    """Password and display name give a token, good for 24 hours (line 13)."""
    response = await chat.http.post("/login", json={"password": PASSWORD, "name": " Ada Lovelace "})
    login = response.json()
    assert response.status_code == 200
    assert login.keys() == {"token", "name", "expires", "userId", "role"}
    assert login["name"] == "Ada Lovelace"
    lasts = datetime.fromtimestamp(login["expires"] / 1000, UTC) - datetime.now(UTC)
    assert timedelta(hours=23, minutes=59) < lasts < timedelta(hours=24, seconds=2)


async def test_events_name_the_person(chat: ChatClient) -> None:
    """All connections of one login have one userId, and no other login or guest has it."""
    logins = [
        (await chat.http.post("/login", json={"password": PASSWORD, "user": "Ada"})).json(),
        (await chat.http.post("/guest")).json(),
    ]
    assert [login["role"] for login in logins] == ["user", "guest"]
    tokens = [logins[0]["token"], logins[0]["token"], logins[1]["token"], None]
    for token in tokens:
        await chat.enter(token=token, v1=True)
    joined = (await chat.http.get("/api/room/lobby/messages", params={"limit": 9})).json()
    users = [each["userId"] for each in joined]
    assert users == [logins[0]["userId"], logins[0]["userId"], logins[1]["userId"], joined[3]["memberId"]]
    assert len(set(users)) == 3


async def test_a_key_makes_later_logins_one_person(chat: ChatClient) -> None:
    """Logins with the same key have the same userId, others another; a short key is refused."""

    async def log_in(path: str, **more: str) -> str:
        answer = await chat.http.post(path, json=more)
        return str(answer.json()["userId"])

    who = {"password": PASSWORD, "name": "Ada"}
    one, again, other, guest, nameless = [
        await log_in("/login", **who, key="a" * 16),
        await log_in("/login", **who, key="a" * 16),
        await log_in("/login", **who, key="b" * 16),
        await log_in("/guest", key="a" * 16),
        await log_in("/guest"),
    ]
    assert one == again == guest
    assert len({one, other, nameless}) == 3
    for path, given in (("/login", who), ("/guest", {})):
        answer = await chat.http.post(path, json=given | {"key": "short"})
        assert problem(answer) == (400, "bad-message")


async def test_a_wrong_password_is_refused(chat: ChatClient) -> None:
    """Another password gives 401, and says how to log in (line 13)."""
    response = await chat.http.post("/login", json={"password": "wrong", "name": "Ada"})
    assert problem(response) == (401, "wrong-password")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="chat"'


async def test_a_bad_body_is_refused(chat: ChatClient) -> None:
    """A body that is not an object with a password and a name gives 400 (line 13)."""
    for body in [
        b"", b"{", b"[]", b'"test"', b'{"password": "test"}', b'{"name": "Ada"}', b"\xff", b"password=test",
        b'{"password": 7, "name": "Ada"}', b'{"password": "test", "name": "Ada", "more": 1}',
        b'{"password": "test", "name": ""}', b'{"password": "test", "name": "\\ud800"}', b"[" * 50_000,
    ]:  # fmt: skip
        assert problem(await chat.http.post("/login", content=body)) == (400, "bad-message"), body[:50]


async def test_a_refusal_names_the_field_to_change(chat: ChatClient) -> None:
    """A problem with a login is told in a sentence, with the field that it is about (line 13)."""
    taken = await chat.enter(token=await chat.log_in("Ada"))
    for login, field, sentence in (
        ({"name": "", "password": "test"}, "name", "The name needs 1 or more characters."),
        ({"name": " ", "password": "test"}, "name", "A name has 1 to 64 characters. This one has 0."),
        ({"name": "You", "password": "test"}, "name", "The name You is reserved. Choose another one."),
        ({"name": "x" * 65, "password": "test"}, "name", "The name may have 64 characters at most."),
        (
            {"name": "ADA", "password": "test"},
            "name",
            "Another person uses the name ADA at present. Choose another one.",
        ),
        ({"name": "Ben", "password": "x"}, "password", "This is not the password of this server."),
        ({"name": "Ben"}, "password", "The password is missing."),
        ({"name": "Ben", "password": "test", "{x}": 1}, "{x}", "There is no field '{x}'."),
    ):
        refusal = (await chat.http.post("/login", json=login)).json()
        assert (refusal["field"], refusal["detail"]) == (field, sentence)
    await taken.connection.close()


async def test_the_refusal_does_not_repeat_the_password(chat: ChatClient) -> None:
    """The refusal of a body does not repeat its content."""
    response = await chat.http.post("/login", json={"password": ["hush"], "name": ["hush"]})
    assert response.status_code == 400
    assert "hush" not in response.text


async def test_too_many_failures_are_slowed_down(chat: ChatClient) -> None:
    """After twenty wrong passwords even the right one has to wait, and is told for how long."""

    async def log_in(password: str) -> httpx.Response:
        return await chat.http.post("/login", json={"password": password, "name": "Ada"})

    count = 0
    async with asyncio.timeout(DEADLINE):
        while (response := await log_in(PASSWORD)).is_success:  # one more attempt is allowed every 3 seconds
            while (await log_in("wrong")).status_code == 401:
                count += 1
    assert problem(response) == (429, "too-many-failures")
    assert count >= 20
    assert response.headers["Retry-After"] == "3"


async def test_guests_get_a_token_and_a_random_name(chat: ChatClient) -> None:
    """A guest gets a name of two words, and a token that works."""
    login = (await chat.http.post("/guest")).json()
    assert len(login["name"].split()) == 2
    assert (await chat.http.get("/history", headers=bearer(login["token"]))).status_code == 200


async def test_a_server_without_guests(start_chat: StartChat) -> None:
    """Where guests are not allowed everything but health and the page needs a token."""
    chat = await start_chat(chat_guests=False)
    assert problem(await chat.http.post("/guest")) == (403, "no-guests")
    for method, path in [
        ("POST", "/api/room"),
        ("GET", "/api/rooms"),
        ("GET", "/api/room/lobby"),
        ("GET", "/api/room/nowhere"),
        ("GET", "/api/room/lobby/messages"),
        ("DELETE", "/api/room/lobby"),
    ]:
        assert problem(await chat.http.request(method, path)) == (401, "unauthorized"), path
        response = await chat.http.request(method, path, headers=bearer(await chat.log_in()))
        assert response.status_code != HTTPStatus.UNAUTHORIZED, path
    assert (await chat.http.get("/api/healthz")).status_code == 200


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_token_can_be_logged_out_once(chat: ChatClient, method: str) -> None:
    """Logging out ends the token; using it again gives 401 (line 15)."""
    token = await chat.log_in()
    assert (await chat.http.request(method, "/logout", headers=bearer(token))).status_code == 204
    for again in ("/logout", "/history", "/api/rooms"):
        assert problem(await chat.http.get(again, headers=bearer(token))) == (401, "unauthorized")


async def test_a_token_may_be_in_the_query(chat: ChatClient) -> None:
    """Browsers may give the token as a parameter."""
    token = await chat.log_in()
    assert (await chat.http.get("/history", params={"token": token})).status_code == 200


async def test_logging_out_needs_a_token(chat: ChatClient) -> None:
    """Without a token there is nothing to end (line 15)."""
    assert problem(await chat.http.post("/logout")) == (401, "unauthorized")


async def test_a_token_of_another_server(chat: ChatClient, start_chat: StartChat, tmp_path: Any) -> None:
    """A token that was issued under another key is refused."""
    other = await start_chat(chat_token_key_file=tmp_path / "other.key")
    response = await chat.http.get("/history", headers=bearer(await other.log_in()))
    assert problem(response) == (401, "unauthorized")


async def test_an_expired_token_leaves(start_chat: StartChat) -> None:
    """A member whose token expires is closed with 4001, and seen to leave (line 14)."""
    clock = WallClock()
    chat = await start_chat(wall_clock=clock)
    guest = await chat.enter()
    token = await chat.log_in()
    member, watcher = [await chat.open(path, token=token) for path in ("/join", "/api/feed")]
    clock.offset = 90_000
    assert ((await member.end())[0], (await watcher.end())[0]) == (4001, 4001)
    assert (await guest.hear_of(type="left"))["memberName"] == "Ada"


async def test_an_expired_token(chat: ChatClient, tmp_path: Path) -> None:
    """A token that has expired is refused (line 14)."""
    token = TokenKey(tmp_path / "chat-token.key").issue(Claims.new("Ada", lifetime=-60), CHAT)
    assert problem(await chat.http.get("/history", headers=bearer(token))) == (401, "unauthorized")
    assert (await chat.refused("/join", token=token))[0] == 401

"""The pages for programs, over real TLS, on a real pipeline."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from chat.http.room_api import MAX_LIMIT
from fanline.protocol import MAX_POSITION
from tests.chat.client import ChatClient, bearer, problem
from tests.chat.conftest import Services, StartChat
from tests.stubs import DEADLINE, PASSWORD, USER

LINK = re.compile(r'<([^>]*)>; rel="(\w+)"')


async def walk(chat: ChatClient, url: str, way: str) -> list[list[dict[str, Any]]]:
    """Follow the links of pages of messages until they end; return the pages."""
    pages: list[list[dict[str, Any]]] = []
    while url:
        response = await chat.http.get(url)
        assert response.status_code == 200
        pages.append(response.json())
        links = {rel: target for target, rel in LINK.findall(response.headers.get("Link", ""))}
        url = links.get(way, "")
    return pages


# The lobby.


async def test_history_has_pages_of_a_hundred(chat: ChatClient) -> None:
    """A page has 100 messages, oldest first; the 101st opens the next one, which is the newest (line 18)."""
    token = await chat.log_in()
    member = await chat.enter(token=token, v1=True)

    async def page(**which: int) -> tuple[int, int, list[str]]:
        found = (await chat.http.get("/history", params={"token": token, **which})).json()
        return found["page"], found["pages"], [each["message"] for each in found["messages"]]

    assert await page() == (1, 1, [])
    for number in range(100):
        await member.say(str(number))
    await member.hear_chat(100)
    assert await page() == (1, 1, [str(number) for number in range(100)])
    await member.say("100")
    await member.hear_chat(1)
    assert await page() == (2, 2, ["100"])
    assert await page(page=1) == (1, 2, [str(number) for number in range(100)])


async def test_a_bad_page_number(chat: ChatClient) -> None:
    """Anything that is not the number of a page gives 400 (line 18)."""
    token = await chat.log_in()
    for page in ("0", "-5", "abc", "2", "1.5", "", "9" * 30, "9" * 5000):
        response = await chat.http.get("/history", params={"token": token, "page": page})
        assert problem(response) in [(400, "bad-page"), (400, "bad-request")], page


async def test_history_needs_a_login(chat: ChatClient) -> None:
    """History is for those who have logged in (line 18)."""
    assert problem(await chat.http.get("/history")) == (401, "unauthorized")


# What was said.


async def test_messages_are_shown_with_all_there_is_to_them(chat: ChatClient) -> None:
    """A message has an id, its room, who said it, what, and when; so have joins and leaves (line 22)."""
    member = await chat.open("/api/serve/lobby", token=await chat.log_in("Ada"))
    me = await member.hear()
    await member.say("Hello, <b>world</b>")
    said = await member.hear()
    await member.connection.close()
    watcher = await chat.enter()
    joined, chatted, left, _ = (await chat.http.get("/api/room/lobby/messages")).json()
    assert chatted == said
    assert {**joined, "self": True} == me
    assert [each["type"] for each in (joined, chatted, left)] == ["joined", "chat", "left"]
    assert {each["memberId"] for each in (joined, chatted, left)} == {me["memberId"]}
    assert chatted["memberName"] == "Ada"
    assert (chatted["roomId"], chatted["message"]) == ("lobby", "Hello, <b>world</b>")
    assert chatted["id"] == str(chatted["seq"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", chatted["sent"])
    assert datetime.now(UTC) - datetime.fromisoformat(chatted["sent"]) < timedelta(minutes=1)
    await watcher.connection.close()


async def test_messages_are_paged_both_ways(chat: ChatClient) -> None:
    """Following the links, either way, shows everything once, in order, and ends (line 22)."""
    member = await chat.enter(v1=True)
    for number in range(10):
        await member.say(str(number))
    await member.hear_chat(10)
    back = await walk(chat, "/api/room/lobby/messages?limit=3", "prev")
    forth = await walk(chat, "/api/room/lobby/messages?limit=3&after=0", "next")
    assert [len(page) for page in back] == [3, 3, 3, 2, 0]
    assert [len(page) for page in forth] == [3, 3, 3, 2, 0]
    expected = ["", *(str(number) for number in range(10))]
    assert [each["message"] for page in reversed(back) for each in page] == expected
    assert [each["message"] for page in forth for each in page] == expected


async def test_a_bad_place_or_limit(chat: ChatClient) -> None:
    """A position that is none, or a page of no sensible size, gives 400 (line 22)."""
    for query in (
        "limit=0", f"limit={MAX_LIMIT + 1}", "limit=x", "before=-1", "after=x", "after=1.5",
        "before=1&after=2", f"after={MAX_POSITION + 1}",
    ):  # fmt: skip
        response = await chat.http.get(f"/api/room/lobby/messages?{query}")
        assert problem(response) in [(400, "bad-request"), (400, "bad-position")], query


async def test_positions_that_nothing_has(chat: ChatClient) -> None:
    """Behind the end, and in front of the beginning, there is an empty page (line 22)."""
    for query in ("before=0", f"after={MAX_POSITION}", f"before={MAX_POSITION}&limit={MAX_LIMIT}"):
        assert (await chat.http.get(f"/api/room/lobby/messages?{query}")).json() == []


# Health and metrics.


async def test_a_server_is_healthy(chat: ChatClient) -> None:
    """While the pipeline answers, so does the health check (line 30)."""
    for path in ("/healthz", "/readyz", "/api/healthz"):
        response = await chat.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_the_pipeline_is_out_of_reach(start_chat: StartChat, services: Services) -> None:
    """While the pipeline does not answer, the health check gives 503, and says why (line 30).

    Tokens are refused, because one that was logged out on another server would still be good on this one.
    """
    chat = await start_chat(drain_timeout=0.5)
    token = bearer(await chat.log_in())
    await services.publisher.stop()
    async with asyncio.timeout(DEADLINE):
        while (response := await chat.http.get("/api/rooms", headers=token)).status_code == 200:
            await asyncio.sleep(0.02)
    assert problem(response) == (503, "unavailable")
    assert problem(await chat.http.get("/history", headers=token)) == (503, "unavailable")
    assert (await chat.http.get("/api/rooms")).status_code == 200
    for path in ("/readyz", "/api/healthz"):
        response = await chat.http.get(path)
        assert problem(response) == (503, "unavailable")
        assert "wss://" not in response.text  # the addresses of the installation are no answer to strangers
    assert (await chat.http.get("/healthz")).status_code == 200


async def test_nothing_is_known_before_the_log_was_read(start_chat: StartChat) -> None:
    """A server that has not read the log says so; logging in works (line 30)."""
    chat = await start_chat(is_ready=False, subscriber_url="wss://localhost:1")
    for path in ("/api/healthz", "/api/rooms", "/api/room/lobby", "/history"):
        response = await chat.http.get(path, headers=bearer(await chat.log_in()))
        assert problem(response) == (503, "unavailable")
        assert int(response.headers["Retry-After"]) > 0
    for path in ("/api/serve/lobby", "/api/feed"):
        assert (await chat.refused(path))[0] == 503


async def test_metrics_are_for_users_of_the_pipeline(chat: ChatClient) -> None:
    """Metrics need the login of a user of the pipeline."""
    response = await chat.http.get("/metrics")
    assert problem(response) == (401, "unauthorized")
    assert response.headers["WWW-Authenticate"].startswith("Basic ")
    await chat.enter()
    text = (await chat.http.get("/metrics", auth=(USER, PASSWORD))).text
    assert "\nfanline_connections 1.0\n" in text
    assert "\nfanline_chat_rooms 1.0\n" in text
    assert "\nfanline_chat_members 1.0\n" in text

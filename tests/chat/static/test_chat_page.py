"""The web page of chat, in a real browser, on real services (line 31)."""

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Page, WebSocket, WebSocketRoute, expect

from fanline.verify.proxy import Proxy
from tests.chat.static.browser import Installation, is_connected, log_in, say, shown, until
from tests.chat.static.conftest import OpenWindow
from tests.stubs import DEADLINE

pytestmark = pytest.mark.asyncio(loop_scope="session")

PHONE = {"width": 390, "height": 780}

# The most rows that may be on the page, however long the room is.
MOST_ROWS = 300

MORE_ROWS = "(count) => document.querySelectorAll('#messages > li').length > count"
EARLIER = "(number) => parseInt(document.querySelector('#messages .bubble').innerText) < number"


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(installation: Installation) -> AsyncIterator[Proxy]:
    """A network between browser and chat, which can be cut."""
    proxy = Proxy(random.Random(7))
    proxy.target = installation.chat.port
    await proxy.start()
    yield proxy
    await proxy.close()


def restore(proxy: Proxy, installation: Installation) -> None:
    proxy.target = installation.chat.port


def cut(proxy: Proxy) -> None:
    """Cut the network, until it is restored."""
    proxy.target = None
    proxy.cut()


async def rows(page: Page) -> int:
    return await page.locator("#messages > li").count()


async def numbers(page: Page) -> list[int]:
    """The numbers that the messages on the page begin with, in order."""
    return [int(text.split()[0]) for text in await page.locator("#messages .bubble").all_inner_texts()]


async def walk_up(page: Page, number: int) -> list[int]:
    """Scroll up to a message of a room of numbered ones; return the numbers as they are met, from the end."""
    met = list(reversed(await numbers(page)))
    async with asyncio.timeout(DEADLINE):
        while met[-1] > number:
            await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
            await until(page, EARLIER, met[-1])
            met += [each for each in reversed(await numbers(page)) if each < met[-1]]
            assert await rows(page) <= MOST_ROWS
    return met


async def test_two_people_in_one_room(installation: Installation, open_window: OpenWindow) -> None:
    """Both see what both say, once, and who is there; one's own messages are marked (lines 16, 23, 31)."""
    ada, ben = await (await open_window()).new_page(), await (await open_window()).new_page()
    room = await installation.make_room("Two")
    await log_in(ada, installation.url, "Ada", room)
    await log_in(ben, installation.url, "Ben", room)
    await expect(ada.locator("#members .name")).to_have_text(["Ada", "Ben"])
    await expect(ben.locator("#members .name")).to_have_text(["Ben", "Ada"])
    await expect(ada.locator(".presence p:visible")).to_have_text(["Ben joined"])
    await say(ada, "Hello, Ben")
    await expect(ben.locator(".bubble")).to_have_text(["Hello, Ben"])
    await say(ben, "Hello, Ada")
    for page, own, other in [(ada, "Hello, Ben", "Hello, Ada"), (ben, "Hello, Ada", "Hello, Ben")]:
        await expect(page.locator("#messages .bubble")).to_have_text(["Hello, Ben", "Hello, Ada"])
        await expect(page.locator(".own .bubble")).to_have_text([own])
        await expect(page.locator("#messages > .message:not(.own) .bubble")).to_have_text([other])
        await expect(page.locator("#unsent > li")).to_have_count(0)
        assert await page.locator("#messages time").count() == 2
        assert await page.locator("#messages .continued").count() == 0
        await expect(page.locator(".day")).to_have_text(["Today"])
    await say(ben, "How are you?")
    await expect(ada.locator("#messages .continued .bubble")).to_have_text(["How are you?"])


async def test_who_leaves_is_shown_and_who_returns_is_not(
    installation: Installation, open_window: OpenWindow
) -> None:
    """Somebody who goes is shown as gone, somebody who is back within seconds was never away (line 23)."""
    page = await (await open_window()).new_page()
    await page.clock.install()
    room = await installation.make_room("Comings")
    ben, eve = await installation.log_in("Ben"), await installation.log_in("Eve")
    await log_in(page, installation.url, "Ada", room)
    async with ben.enter(room), eve.enter(room):
        await expect(page.locator("#members .name")).to_have_text(["Ada", "Ben", "Eve"])
    await expect(page.locator("#members .name")).to_have_text(["Ada"])
    await say(page, "Where is everybody?")
    await expect(page.locator("#messages .bubble")).to_have_count(1)
    async with eve.enter(room):
        async with eve.enter(room):
            await expect(page.locator("#members .note")).to_have_text(["you", "\N{MULTIPLICATION SIGN}2"])
            await expect(page.locator(".presence p:visible")).to_have_text(["Ben and Eve joined"])
        await expect(page.locator("#members .note")).to_have_text(["you"])
        await page.clock.fast_forward("00:11")
        await expect(page.locator(".presence p:visible")).to_have_text(["Ben and Eve joined", "Ben left"])
        await expect(page.locator("#members .name")).to_have_text(["Ada", "Eve"])


async def test_history_is_loaded_by_scrolling(installation: Installation, open_window: OpenWindow) -> None:
    """Scrolling up brings everything, in order, once, and what is looked at stays there (lines 22, 31)."""
    room = await installation.make_room("History")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(350)))
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Ada", room)
    await expect(page.locator(".bubble").last).to_be_in_viewport()
    await expect(page.locator(".bubble").last).to_have_text("349 said")
    count = await rows(page)
    mark = page.locator(".bubble", has_text="300 said")
    before = await mark.evaluate("row => { row.scrollIntoView(); return row.getBoundingClientRect().top; }")
    await until(page, MORE_ROWS, count)
    after = await mark.evaluate("row => row.getBoundingClientRect().top")
    assert after == pytest.approx(before, abs=1)
    assert await walk_up(page, 0) == list(reversed(range(350)))
    await page.locator("#scroller").evaluate("scroller => scroller.scrollTo(0, 0)")
    await expect(page.locator("#beginning")).to_have_text("This is the beginning of the room.")
    await page.get_by_role("button", name="Newest messages").click()
    await expect(page.locator(".bubble").last).to_be_in_viewport()
    await expect(page.locator(".bubble").last).to_have_text("349 said")


async def test_a_room_of_ten_thousand_messages(installation: Installation, open_window: OpenWindow) -> None:
    """Ten thousand messages come to an open page, all of them, and the page stays small (line 31)."""
    room = await installation.make_room("Long")
    ben = await installation.log_in("Ben")
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Ada", room)
    await ben.say(room, *(f"{number} said" for number in range(10_000)))
    await expect(page.locator(".bubble").last).to_have_text("9999 said")
    await expect(page.locator(".bubble").last).to_be_in_viewport()
    assert await rows(page) <= MOST_ROWS
    assert await page.locator("#chat *").count() < 3_000
    await page.reload()
    await is_connected(page)
    assert await rows(page) <= 120
    met = await walk_up(page, 8_500)
    assert met == list(reversed(range(met[-1], 10_000)))


SCROLLING = """async () => {
  const { Timeline } = await import("/timeline.js");
  const list = document.createElement("ol");
  const column = document.createElement("div");
  const scroller = document.createElement("div");
  column.append(list);
  scroller.append(column);
  document.body.append(scroller);
  scroller.style = "height: 300px; overflow: auto";
  const { signal } = new AbortController();
  const options = { name: "Ada", onNeedOlder: () => {}, onScroll: () => {}, signal };
  const timeline = new Timeline(scroller, list, options);
  const sent = new Date().toISOString();
  const event = (seq) => ({ seq, type: "chat", memberName: "Ben", message: "x", sent });
  timeline.append(Array.from({ length: 50 }, (_, seq) => event(seq)));
  const isAtBottom = scroller.scrollTop === scroller.scrollHeight - scroller.clientHeight;
  scroller.scrollTop = 100;
  timeline.append([event(50)]);
  return [isAtBottom, scroller.scrollTop, timeline.isAtBottom];
}"""


async def test_a_message_at_the_moment_of_scrolling(
    installation: Installation, open_window: OpenWindow
) -> None:
    """Who has just begun to scroll up is not pulled down by a message that comes before the scroll event."""
    page = await (await open_window()).new_page()
    await page.goto(installation.url)
    assert await page.evaluate(SCROLLING) == [True, 100, False]


async def test_new_messages_while_scrolled_up(installation: Installation, open_window: OpenWindow) -> None:
    """Who reads old messages is told of new ones, and is not moved."""
    room = await installation.make_room("Old")
    ben = await installation.log_in("Ben")
    await ben.say(room, *(f"{number} said" for number in range(60)))
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Ada", room)
    mark = page.locator(".bubble", has_text="20 said")
    before = await mark.evaluate("row => { row.scrollIntoView(); return row.getBoundingClientRect().top; }")
    pill = page.locator("#newest")
    await expect(pill).to_be_visible()
    await ben.say(room, "60 said", "61 said")
    await expect(pill).to_have_text("2 new messages")
    await expect(page.locator("#announcer")).to_contain_text("Ben: 61 said")
    after = await mark.evaluate("row => row.getBoundingClientRect().top")
    assert after == pytest.approx(before, abs=1)
    await pill.click()
    await expect(page.locator(".bubble", has_text="61 said")).to_be_in_viewport()
    await expect(pill).to_be_hidden()


async def test_server_killed_and_restarted(installation: Installation, open_window: OpenWindow) -> None:
    """An open page outlives the server: nothing is missing, nothing is there twice (lines 25, 31)."""
    room = await installation.make_room("Crash")
    ben = await installation.log_in("Ben")
    page = await (await open_window(is_rough=True)).new_page()
    await log_in(page, installation.url, "Ada", room)
    await ben.say(room, "one")
    await say(page, "two")
    await expect(page.locator("#messages .bubble")).to_have_text(["one", "two"])
    await installation.chat.kill()
    await expect(page.locator("#status")).not_to_have_text("Connected")
    await say(page, "three")
    await expect(page.locator("#unsent")).to_contain_text("waiting for the connection")
    await expect(page.locator("#trouble")).to_be_visible()
    await installation.start_chat()
    await ben.say(room, "four")
    await is_connected(page)
    await expect(page.locator("#messages .bubble")).to_have_count(4)
    await expect(page.locator("#unsent > li")).to_have_count(0)
    stored = await installation.messages(room)
    assert sorted(stored) == ["four", "one", "three", "two"]
    assert await shown(page) == stored
    await expect(page.locator("#trouble")).to_be_hidden()


async def test_network_cut_and_restored(
    installation: Installation, proxy: Proxy, open_window: OpenWindow
) -> None:
    """What was said meanwhile comes, what was written meanwhile goes, in order and once (line 31)."""
    room = await installation.make_room("Cut")
    ben = await installation.log_in("Ben")
    page = await (await open_window(is_rough=True)).new_page()
    await log_in(page, f"https://localhost:{proxy.port}", "Ada", room)
    await say(page, "1")
    await expect(page.locator("#messages .bubble")).to_have_text(["1"])
    for turn in range(3):
        cut(proxy)
        await expect(page.locator("#status")).not_to_have_text("Connected")
        await say(page, f"Ada {turn}")
        await ben.say(room, f"Ben {turn}a", f"Ben {turn}b")
        restore(proxy, installation)
        await page.evaluate("document.getElementById('retry').click()")
        await expect(page.locator("#messages .bubble")).to_have_count(1 + 3 * (turn + 1))
        await expect(page.locator("#unsent > li")).to_have_count(0)
    stored = await installation.messages(room)
    assert len(stored) == len(set(stored)) == 10
    assert await shown(page) == stored


async def test_a_dead_network_is_noticed(
    installation: Installation, proxy: Proxy, open_window: OpenWindow
) -> None:
    """A network that swallows everything is taken for lost, after a question without an answer."""
    page = await (await open_window(is_rough=True)).new_page()
    feeds: list[WebSocket] = []
    page.on("websocket", lambda socket: feeds.append(socket) if "/api/feed" in socket.url else None)
    await page.clock.install()
    await log_in(page, f"https://localhost:{proxy.port}", "Ada")
    await page.clock.fast_forward("00:21")
    await page.clock.fast_forward("00:09")
    await asyncio.sleep(0)
    await expect(page.locator("#status")).to_have_text("Connected")
    stall = asyncio.create_task(proxy.stall(60))
    await asyncio.sleep(0)
    await page.clock.fast_forward("00:21")
    await page.clock.fast_forward("00:11")
    await expect(page.locator("#status")).not_to_have_text("Connected")
    stall.cancel()
    await page.clock.fast_forward("00:11")
    await is_connected(page)
    async with asyncio.timeout(DEADLINE):
        while len(feeds) < 2:
            await page.clock.run_for(100)


async def test_an_unsent_message_survives_the_page(
    installation: Installation, open_window: OpenWindow
) -> None:
    """A message written while there is no server is sent when the page is opened again, once."""
    room = await installation.make_room("Later")
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await installation.chat.kill()
    await expect(page.locator("#status")).not_to_have_text("Connected")
    await say(page, "kept")
    await say(page, "kept too")
    await page.close()
    await installation.start_chat()
    again = await window.new_page()
    await again.goto(f"{installation.url}/#{room}")
    await expect(again.locator("#messages .bubble")).to_have_text(["kept", "kept too"])
    await expect(again.locator("#unsent > li")).to_have_count(0)
    await again.reload()
    await is_connected(again)
    await expect(again.locator(".bubble")).to_have_text(["kept", "kept too"])
    assert await installation.messages(room) == ["kept", "kept too"]


async def test_a_message_without_an_ack_is_sent_again_once(
    installation: Installation, open_window: OpenWindow
) -> None:
    """A message that was stored, but whose ack was lost with the page, is sent again and not doubled."""
    room = await installation.make_room("Ack")
    window = await open_window()
    page = await window.new_page()
    is_deaf = asyncio.Event()

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()
        server.on_message(lambda frame: None if is_deaf.is_set() else socket.send(frame))

    await page.route_web_socket(re.compile("/api/serve/"), relay)
    await log_in(page, installation.url, "Ada", room)
    is_deaf.set()
    await say(page, "once")
    await until_said(installation, room, "once")
    await expect(page.locator("#unsent .bubble")).to_have_text(["once"])
    await page.close()
    again = await window.new_page()
    await again.goto(f"{installation.url}/#{room}")
    await is_connected(again)
    await expect(again.locator("#messages .bubble")).to_have_text(["once"])
    await expect(again.locator("#unsent > li")).to_have_count(0)
    await until(again, "() => !Object.keys(localStorage).some((key) => key.startsWith('fanline.outbox'))")
    assert await installation.messages(room) == ["once"]


async def until_said(installation: Installation, room: str, text: str) -> None:
    async with asyncio.timeout(DEADLINE):
        while text not in await installation.messages(room):
            await asyncio.sleep(0.01)


async def test_two_tabs_with_one_unsent_message(installation: Installation, open_window: OpenWindow) -> None:
    """Both find it, both send it, it is stored once, and both show it as sent (line 19)."""
    room = await installation.make_room("Tabs")
    window = await open_window()
    one, other = await window.new_page(), await window.new_page()
    await log_in(one, installation.url, "Ada", room)
    await other.goto(f"{installation.url}/#{room}")
    await is_connected(other)
    await one.evaluate(
        """(room) => {
          const entry = { id: "both", room, text: "shared", written: Date.now() };
          localStorage.setItem("fanline.outbox.both", JSON.stringify(entry));
        }""",
        room,
    )
    await asyncio.gather(one.reload(), other.reload())
    for page in (one, other):
        await expect(page.locator("#messages .bubble")).to_have_text(["shared"])
        await expect(page.locator("#unsent > li")).to_have_count(0)
    assert await installation.messages(room) == ["shared"]


async def test_what_may_be_stored_already_is_not_sent_again_unasked(
    installation: Installation, open_window: OpenWindow
) -> None:
    """Beyond the server's memory of ids, a person is asked whether a message is to be sent again."""
    room = await installation.make_room("Unsure")
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Ada", room)
    await page.evaluate(
        """(room) => {
          const entry = { id: "a", room, text: "maybe", written: 1, tried: 1, login: "x", members: ["y"] };
          localStorage.setItem("fanline.outbox.a", JSON.stringify(entry));
        }""",
        room,
    )
    await page.reload()
    await is_connected(page)
    await expect(page.locator("#unsent")).to_contain_text("Unknown whether this was sent.")
    assert await installation.messages(room) == []
    await page.get_by_role("button", name="Send again").click()
    await expect(page.locator("#messages .bubble")).to_have_text(["maybe"])
    await expect(page.locator("#unsent > li")).to_have_count(0)


async def test_a_message_from_before_a_long_sleep(
    installation: Installation, proxy: Proxy, open_window: OpenWindow
) -> None:
    """A page that wakes up hours later does not send again what the server may have forgotten the id of."""
    room = await installation.make_room("Sleep")
    page = await (await open_window(is_rough=True)).new_page()
    await page.clock.install()
    await log_in(page, f"https://localhost:{proxy.port}", "Ada", room)
    stall = asyncio.create_task(proxy.stall(60))
    await asyncio.sleep(0)
    await say(page, "good night")
    cut(proxy)
    stall.cancel()
    await expect(page.locator("#status")).not_to_have_text("Connected")
    await page.clock.fast_forward("02:00:00")
    restore(proxy, installation)
    await page.clock.fast_forward("00:10")
    await is_connected(page)
    await expect(page.locator("#unsent")).to_contain_text("Unknown whether this was sent.")
    assert await installation.messages(room) == []
    await page.get_by_role("button", name="Discard").click()
    await expect(page.locator("#unsent > li")).to_have_count(0)


async def test_a_message_that_cannot_be_stored(installation: Installation, open_window: OpenWindow) -> None:
    """It is shown as failed to who wrote it, to nobody else, and can be tried again (line 25)."""
    room = await installation.make_room("Failed")
    window = await open_window(is_rough=True)
    page = await window.new_page()
    await log_in(page, installation.url, "Ada", room)
    await say(page, "before")
    await expect(page.locator("#messages .bubble")).to_have_text(["before"])
    await installation.pipeline.msgqueue.kill()
    await say(page, "lost?")
    await expect(page.locator("#unsent .failed")).to_contain_text("Not sent.")
    await installation.pipeline.msgqueue.start()
    async with asyncio.timeout(DEADLINE), installation.http() as http:
        while (await http.get("/api/healthz")).is_error:
            await asyncio.sleep(0.05)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#messages .bubble")).to_have_text(["before", "lost?"])
    await expect(page.locator("#unsent > li")).to_have_count(0)
    assert await installation.messages(room) == ["before", "lost?"]


async def test_rooms_are_made_and_deleted(installation: Installation, open_window: OpenWindow) -> None:
    """A room is made for everybody; deleted, it says so, and who was in it is in the lobby (line 28)."""
    ada, ben = await (await open_window()).new_page(), await (await open_window()).new_page()
    await log_in(ada, installation.url, "Ada")
    await log_in(ben, installation.url, "Ben")
    await expect(ada.get_by_role("button", name="Delete room")).to_be_hidden()
    await ada.get_by_role("button", name="New room").click()
    await ada.get_by_role("textbox", name="Name", exact=True).fill("Garden")
    await ada.get_by_role("button", name="Make room").click()
    await expect(ada.get_by_role("heading", level=1)).to_have_text("Garden")
    await ben.get_by_role("link", name="Garden").click()
    await is_connected(ben)
    await expect(ada.locator("#members .name")).to_have_text(["Ada", "Ben"])
    await ada.get_by_role("button", name="Delete room").click()
    await expect(ada.get_by_role("alertdialog")).to_contain_text("Delete “Garden”?")
    await ada.get_by_role("button", name="Cancel").click()
    await expect(ben.get_by_role("link", name="Garden")).to_be_visible()
    await ada.get_by_role("button", name="Delete room").click()
    await ada.get_by_role("alertdialog").get_by_role("button", name="Delete room").click()
    for page in (ada, ben):
        await expect(page.locator("#notes")).to_contain_text("“Garden”")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
        await expect(page.get_by_role("link", name="Garden")).to_have_count(0)
        await is_connected(page)


async def test_a_room_that_is_not_there(installation: Installation, open_window: OpenWindow) -> None:
    """An address of no room says so, and leads to the lobby (line 24)."""
    page = await (await open_window(is_rough=True)).new_page()
    await log_in_somewhere(page, installation.url, "nowhere")
    await expect(page.locator("#notes")).to_contain_text("There is no such room")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
    await is_connected(page)


async def log_in_somewhere(page: Page, url: str, room: str) -> None:
    await page.goto(f"{url}/#{room}")
    await page.get_by_role("button", name="Enter as a guest").click()


async def test_logout_in_one_tab(installation: Installation, open_window: OpenWindow) -> None:
    """Logging out in one tab ends it in all of them, and what was open is closed (line 15)."""
    window = await open_window(is_rough=True)
    one, other = await window.new_page(), await window.new_page()
    await log_in(one, installation.url, "Ada")
    await other.goto(installation.url)
    await is_connected(other)
    await one.bring_to_front()
    await one.get_by_role("button", name="Log out").click()
    for page in (one, other):
        await expect(page.get_by_role("button", name="Log in")).to_be_visible()
        await expect(page.locator("#chat")).to_be_hidden()
    await expect(one.locator("#login-note")).to_have_text("You are logged out.")
    await log_in(one, installation.url, "Ada")
    await is_connected(other)


async def test_logout_elsewhere(installation: Installation, open_window: OpenWindow) -> None:
    """A token that is revoked from anywhere ends the page, too (line 15)."""
    page = await (await open_window(is_rough=True)).new_page()
    await log_in(page, installation.url, "Ada")
    token = await page.evaluate("JSON.parse(localStorage.getItem('fanline.session')).token")
    async with installation.http() as http:
        (await http.post("/logout", params={"token": token})).raise_for_status()
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()
    await expect(page.locator("#login-note")).to_have_text("You are logged out.")
    assert await page.evaluate("localStorage.getItem('fanline.session')") is None


async def test_wrong_password(installation: Installation, open_window: OpenWindow) -> None:
    """It is said so, and one can try again (line 13)."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.goto(installation.url)
    await page.get_by_label("Your name").fill("Ada")
    await page.get_by_label("Password of this server").fill("wrong")
    await page.get_by_label("Password of this server").press("Enter")
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await page.get_by_label("Password of this server").fill("test")
    await page.get_by_role("button", name="Log in").click()
    await is_connected(page)


async def test_a_guest(installation: Installation, open_window: OpenWindow) -> None:
    """A guest gets a name of two words, and takes part like everybody (line 23)."""
    page = await (await open_window()).new_page()
    room = await installation.make_room("Guests")
    await log_in_somewhere(page, installation.url, room)
    await is_connected(page)
    name = await page.locator("#own-name").inner_text()
    assert re.fullmatch(r".\s*[A-Z]\w+ [A-Z]\w+", name)
    await say(page, "Hello from outside")
    await expect(page.locator("#messages .own .bubble")).to_have_text(["Hello from outside"])


HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


async def test_html_is_text(installation: Installation, open_window: OpenWindow) -> None:
    """Names, rooms and messages with HTML and scripts in them are shown as they were written."""
    name = "<b onclick=x>Eve</b>"
    room_name = "<script>hacked=1</script>"
    room = await installation.make_room(room_name)
    eve = await installation.log_in(name)
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "<i>Ada</i>", room)
    async with eve.enter(room) as visit:
        await visit.say(
            HOSTILE, "javascript:alert(1) data:text/html,x", "see https://example.org/a_(b)?q=<i>."
        )
        await say(page, HOSTILE)
        await expect(page.locator(".bubble")).to_have_text(
            [HOSTILE, "javascript:alert(1) data:text/html,x", "see https://example.org/a_(b)?q=<i>.", HOSTILE]
        )
        await expect(page.locator("#members .name")).to_have_text(["<i>Ada</i>", name])
        await expect(page.locator("#messages .head .name").first).to_have_text(name)
        await expect(page.get_by_role("heading", level=1)).to_have_text(room_name)
        await expect(page.locator("#rooms [aria-current]")).to_have_text(room_name)
        await expect(page.locator(".presence p:visible")).to_have_text([f"{name} joined"])
    link = page.locator(".bubble a")
    await expect(link).to_have_count(1)
    await expect(link).to_have_attribute("href", "https://example.org/a_(b)?q=")
    await expect(link).to_have_attribute("rel", "noopener noreferrer")
    assert await page.evaluate("window.hacked") is None
    assert await page.locator("#chat").locator("b, i, script, .bubble img").count() == 0


async def test_unread_counts(installation: Installation, open_window: OpenWindow) -> None:
    """What is said in other rooms is counted until it is seen, in the list and the title, across reloads."""
    quiet, busy = await installation.make_room("Quiet"), await installation.make_room("Busy")
    ben = await installation.log_in("Ben")
    await ben.say(busy, "before Ada came")
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Ada", quiet)
    await expect(page.get_by_role("link", name="Busy", exact=True)).to_be_visible()
    await ben.say(busy, "one", "two", "three")
    await expect(page.get_by_role("link", name="Busy, 3 unread messages")).to_be_visible()
    await expect(page).to_have_title("(3) Quiet · Fanline chat")
    await page.reload()
    await page.get_by_role("link", name="Busy, 3 unread messages").click()
    await expect(page.locator(".bubble").last).to_have_text("three")
    await expect(page.get_by_role("link", name="Busy", exact=True)).to_be_visible()
    await expect(page).to_have_title("Busy · Fanline chat")
    await ben.say(busy, "four")
    await expect(page.locator(".bubble").last).to_have_text("four")
    await page.get_by_role("link", name="Quiet").click()
    await is_connected(page)
    await expect(page.get_by_role("link", name="Busy", exact=True)).to_be_visible()


async def test_a_long_message(installation: Installation, open_window: OpenWindow) -> None:
    """Of a long message the beginning is shown, and the rest on request; too long a one cannot be sent."""
    room = await installation.make_room("Essay")
    page = await (await open_window()).new_page()
    await log_in(page, installation.url, "Ada", room)
    essay = "word " * 3_000
    await say(page, essay)
    bubble = page.locator("#messages .bubble")
    await expect(bubble).to_contain_text("more characters")
    assert len(await bubble.inner_text()) < 2_000
    await page.get_by_role("button", name="more characters").click()
    assert len(await bubble.inner_text()) > 14_000
    await page.locator("#text").fill("x" * 16_385)
    await expect(page.locator("#counter")).to_have_text("16,385 of 16,384 bytes")
    await expect(page.get_by_role("button", name="Send")).to_be_disabled()


async def test_on_a_phone(installation: Installation, open_window: OpenWindow) -> None:
    """On a narrow screen rooms and members are drawers, and nothing is wider than the screen."""
    room = await installation.make_room("Pocket")
    page = await (await open_window(viewport=PHONE, has_touch=True, is_mobile=True)).new_page()
    await log_in(page, installation.url, "Ada")
    await expect(page.locator("#rooms-panel")).to_be_hidden()
    await page.get_by_role("button", name="Rooms").tap()
    await page.get_by_role("link", name="Pocket").tap()
    await expect(page.locator("#rooms-panel")).to_be_hidden()
    await is_connected(page)
    await say(page, "x" * 500)
    await expect(page.locator("#messages .bubble")).to_have_count(1)
    await page.get_by_role("button", name="Members: 1").tap()
    await expect(page.get_by_role("complementary", name="Members")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("complementary", name="Members")).to_be_hidden()
    width = await page.evaluate(
        "Math.max(...[...document.querySelectorAll('#chat *')].map(e => e.scrollWidth))"
    )
    assert width <= PHONE["width"]
    assert await installation.messages(room) == ["x" * 500]


async def focus(page: Page) -> str:
    """What has the focus, by its id, or else its text."""
    return str(await page.evaluate("document.activeElement.id || document.activeElement.innerText"))


async def tab_to(page: Page, wanted: str) -> None:
    for _ in range(40):
        if await focus(page) == wanted:
            return
        await page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {wanted}")


async def test_with_the_keyboard_alone(installation: Installation, open_window: OpenWindow) -> None:
    """Logging in, making a room, writing, going to another room and logging out need no mouse."""
    page = await (await open_window(is_rough=True)).new_page()
    await page.goto(installation.url)
    await expect(page.get_by_label("Your name")).to_be_focused()
    await page.keyboard.type("Ada")
    await page.keyboard.press("Tab")
    await page.keyboard.type("test")
    await page.keyboard.press("Enter")
    await is_connected(page)
    await expect(page.locator("#text")).to_be_focused()
    await tab_to(page, "new-room")
    await page.keyboard.press("Enter")
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator("#new-room")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.keyboard.type("By hand")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("By hand")
    await is_connected(page)
    await expect(page.locator("#text")).to_be_focused()
    await page.keyboard.type("one line")
    await page.keyboard.press("Shift+Enter")
    await page.keyboard.type("and another")
    await page.keyboard.press("Enter")
    await expect(page.locator("#messages .bubble")).to_have_text(["one line\nand another"])
    await tab_to(page, "Lobby")
    await page.keyboard.press("ArrowDown")
    assert await focus(page) != "Lobby"
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Lobby")
    await tab_to(page, "log-out")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name="Log in")).to_be_visible()


CONTRASTS = """() => {
  const pixel = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    pixel.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pixel.fillStyle = colour; pixel.fillRect(0, 0, 1, 1); }
    return [...pixel.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const linear = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = rgb.map((c) => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = {};
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest(":disabled")) continue;
    const grounds = [];
    for (let up = element; up; up = up.parentElement) grounds.unshift(getComputedStyle(up).backgroundColor);
    const ground = light(paint(grounds)), text = light(paint([...grounds, getComputedStyle(element).color]));
    found[element.id || element.className || element.tagName] =
      (Math.max(ground, text) + 0.05) / (Math.min(ground, text) + 0.05);
  }
  return found;
}"""


NAMELESS = """() => [...document.querySelectorAll("button, input, textarea")]
  .filter((each) => each.checkVisibility())
  .filter((each) => !each.ariaLabel && !each.labels.length && !each.innerText.trim())
  .map((each) => each.id)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everything_can_be_read(
    installation: Installation, open_window: OpenWindow, scheme: str
) -> None:
    """All text has a contrast of 4.5 to 1, whatever the browser prefers, and every control has a name."""
    page = await (await open_window(color_scheme=scheme)).new_page()
    room, busy = await installation.make_room("Seen"), await installation.make_room(f"Unseen {scheme}")
    names = [f"{letter}{letter}" for letter in "abcdefgh"]
    await log_in(page, installation.url, "Ada", room)
    for name in names:
        await (await installation.log_in(name)).say(room, "Look: https://example.org")
    await (await installation.log_in("Ben")).say(busy, "unread")
    await say(page, "Own")
    await page.get_by_role("link", name=f"Unseen {scheme}, 1 unread message").wait_for()
    await expect(page.locator("#messages .bubble")).to_have_count(len(names) + 1)
    await page.evaluate("document.getElementById('trouble').hidden = false")
    contrasts = await page.evaluate(CONTRASTS)
    assert contrasts.keys() >= {"room-title", "status", "avatar", "bubble", "badge", "name", "retry"}
    assert not {what: ratio for what, ratio in contrasts.items() if ratio < 4.5}
    assert await page.evaluate(NAMELESS) == []

"""Several people use a few machines in turn while servers are killed: ``make trial ARGS="--minutes 30"``.

No person may see the words of another, lose their own, or lose their place. Each text begins with the name
of its author, so that it can be recognized on a page and in the log.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, deque
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import uvloop
from playwright.async_api import BrowserContext, Error, Page

import certs
from fanline.security.client_tls import client_context
from tests.chat.static.browser import Installation, open_browser
from tests.stubs import PASSWORD

MACHINES = (("Ada", "Ben", "Cleo"), ("Dana", "Edda", "Finn"), ("Gus", "Hana", "Ida"))
ROOMS = ("North", "South", "West")
OLD_MESSAGES = 150
MANY = 50  # messages on a page that has loaded what is before the new ones
PATIENCE = 90.0  # seconds within which the page must do what is expected of it, outages included
OUTAGES = (5.0, 20.0)  # seconds between the end of one and the next
LENGTHS = (0.2, 8.0)  # seconds of one

SEEN = """() => {
  const scroller = document.getElementById("scroller");
  const { top } = scroller.getBoundingClientRect();
  const bubbles = [...document.querySelectorAll("#messages .bubble")];
  return {
    own: document.querySelector("#own-name .name")?.innerText ?? "",
    isIn: document.getElementById("chat")?.hidden === false,
    phase: document.getElementById("chat")?.dataset.phase ?? "",
    title: document.getElementById("room-title")?.innerText ?? "",
    field: document.getElementById("text")?.value ?? "",
    unsent: [...document.querySelectorAll("#unsent .bubble")].map((each) => each.innerText),
    first: bubbles.find((each) => each.getBoundingClientRect().bottom > top + 1)?.innerText ?? "",
    beginning: document.getElementById("beginning")?.innerText ?? "",
    bubbles: bubbles.length,
    isUp: document.getElementById("newest")?.hidden === false,
    last: bubbles.at(-1)?.innerText ?? "",
    error: document.getElementById("login-error")?.innerText ?? "",
  };
}"""
SCROLL = """(part) => {
  const scroller = document.getElementById("scroller");
  scroller.scrollTo(0, part * (scroller.scrollHeight - scroller.clientHeight));
}"""
FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
RESOLVE = """(stored) => {
  for (const row of document.querySelectorAll("#unsent > li")) {
    const buttons = [...row.querySelectorAll("button")];
    const named = (...names) => buttons.find((each) => names.includes(each.innerText));
    const isStored = stored.includes(row.querySelector(".bubble").innerText);
    (isStored ? named("Discard") : named("Send", "Send again", "Try again"))?.click();
  }
}"""


class Broken(Exception):
    """The page has broken a promise."""


class Book:
    """A record of who has said and begun what."""

    def __init__(self) -> None:
        self.said: dict[str, tuple[str, str]] = {}
        self.given_up: set[str] = set()
        self.drafts: dict[tuple[str, str], str] = {}
        self.counts: Counter[str] = Counter()
        self.trace: deque[str] = deque(maxlen=40)
        self._begun = time.monotonic()

    def note(self, what: str) -> None:
        """Record what happens, for those who look for the cause of a fault."""
        self.trace.append(f"{time.monotonic() - self._begun:8.2f} {what}")

    def text(self, name: str, kind: str) -> str:
        """Return a text that no other equals."""
        self.counts[kind] += 1
        return f"{name} {kind} {self.counts[kind]}"

    def forget_drafts(self, name: str) -> None:
        """Forget the drafts of a person who has logged out."""
        self.drafts = {key: text for key, text in self.drafts.items() if key[0] != name}


class Visit:
    """One person in front of a machine, from login to the end of the turn."""

    def __init__(self, page: Page, name: str, rooms: dict[str, str], url: str, book: Book) -> None:
        self.page = page
        self.name = name
        self._rooms = rooms
        self._url = url
        self._book = book
        self.room = ""

    async def begin(self, room: str) -> None:
        """Load the page, log a former person out, and log in."""
        self.room = room
        await self._load()
        seen = await self.page.evaluate(SEEN)
        if seen["isIn"]:
            await Visit(self.page, seen["own"], self._rooms, self._url, self._book).log_out()
        await self.page.locator("#login-name").fill(self.name)
        async with asyncio.timeout(PATIENCE):
            while True:
                await self.page.locator("#login-password").fill(PASSWORD)
                await self.page.locator("#log-in").click()
                with suppress(Error):
                    await self.page.locator("#chat:not([hidden])").wait_for(timeout=3_000)
                    break
        await self.check()

    async def check(self) -> Any:
        """Look at the page: all words on it that are not in the log are of this person."""
        seen = await self.page.evaluate(SEEN)
        if seen["own"] != self.name:
            raise Broken(f"{self.name} is {seen['own']}")
        for text in (seen["field"], *seen["unsent"]):
            if text and not text.startswith(f"{self.name} "):
                raise Broken(f"{self.name} sees {text!r}")
        return seen

    async def say(self) -> None:
        """Say something, whether there is a connection or not."""
        text = self._book.text(self.name, "said")
        self._book.said[text] = (self.name, self._rooms[self.room])
        self._book.drafts.pop((self.name, self.room), None)
        await self.page.locator("#text").fill(text)
        await self.page.locator("#text").press("Enter")

    async def begin_text(self) -> None:
        """Begin to write something."""
        text = self._book.text(self.name, "draft")
        await self.page.locator("#text").fill(text)
        self._book.drafts[self.name, self.room] = text

    async def go(self, room: str) -> None:
        """Go to another room, where the draft is that was begun there."""
        self.room = room
        self._book.note(f"{self.name} goes to {room}")
        await self.page.evaluate("(id) => { location.hash = id; }", self._rooms[room])
        await self.until(lambda seen: seen["title"] == room, f"{room} is open")
        await self.check_draft()

    async def check_draft(self) -> None:
        """Check that what was begun in the room is there."""
        expected = self._book.drafts.get((self.name, self.room), "")
        if (seen := await self.check())["field"] != expected:
            raise Broken(f"{self.name} had begun {expected!r}, and finds {seen['field']!r}")

    async def keep_place(self, way: str, part: float, other: str) -> None:
        """Scroll up, go away and come back: to the same message."""
        await self.until(
            lambda seen: seen["phase"] == "open" and seen["bubbles"] > MANY, "the messages are there"
        )
        await self.page.evaluate(SCROLL, part)
        await self.page.evaluate(FRAMES)
        seen = await self.check()
        if not seen["isUp"]:
            return  # the page has gone on to load, and is at its newest messages
        place = seen["first"]
        self._book.note(f"{self.name} is at {place!r} in {self.room}, and will come back by {way}")
        room = self.room
        if way == "reload":
            await self._load()
        else:
            await self.go(other)
            await self.go(room)
        await self.until(
            lambda seen: seen["phase"] == "open" and seen["first"] == place, f"{place!r} is the first again"
        )
        await self.check_draft()

    async def log_out(self) -> None:
        """Log out by the button; what is not sent yet is given up, if the page asks for that."""
        unsent = self.page.locator("#log-out")
        await unsent.click()
        confirm = self.page.locator("#confirm-action")
        await confirm.or_(self.page.locator("#login:not([hidden])")).first.wait_for(timeout=PATIENCE * 1000)
        if await confirm.is_visible():
            self._book.counts["given up"] += 1
            self._book.given_up |= {text for text, (who, _) in self._book.said.items() if who == self.name}
            await confirm.click()
        await self.page.locator("#login:not([hidden])").wait_for(timeout=PATIENCE * 1000)
        self._book.forget_drafts(self.name)
        if await self.page.locator("#text").input_value():
            raise Broken(f"the draft of {self.name} is there after the logout")

    async def lose_login(self) -> None:
        """End the login as one that has expired."""
        await self.page.evaluate("() => localStorage.removeItem('fanline.session')")

    async def finish(self, installation: Installation) -> None:
        """Send, in each room, what is not sent yet."""
        for room in ROOMS:
            await self.go(room)
            async with asyncio.timeout(PATIENCE):
                while (await self.check())["unsent"]:
                    stored = [each["message"] for each in await history(installation, self._rooms[room])]
                    await self.page.evaluate(RESOLVE, stored)
                    await asyncio.sleep(0.5)

    async def until(self, condition: Any, what: str) -> None:
        """Wait until something is seen."""
        seen: Any = None
        try:
            async with asyncio.timeout(PATIENCE):
                while not condition(seen := await self.check()):
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise Broken(f"{self.name} waits in vain: {what}; {seen}") from None

    async def _load(self) -> None:
        async with asyncio.timeout(PATIENCE):
            while True:
                with suppress(Error):
                    await self.page.goto("about:blank")
                    await self.page.goto(f"{self._url}/#{self._rooms[self.room]}")
                    await self.page.locator("#loading").wait_for(state="detached", timeout=5_000)
                    return
                await asyncio.sleep(0.3)


class Machine:
    """One browser, which people use in turn."""

    def __init__(
        self, context: BrowserContext, names: tuple[str, ...], rooms: dict[str, str], url: str, book: Book
    ) -> None:
        self._context = context
        self._names = names
        self._rooms = rooms
        self._url = url
        self._book = book

    async def run(self, rng: random.Random, end: float) -> None:
        """Have one person after the other use it."""
        while time.monotonic() < end:
            await self._turn(rng, rng.choice(self._names))

    async def _turn(self, rng: random.Random, name: str) -> None:
        page = await self._context.new_page()
        visit = Visit(page, name, self._rooms, self._url, self._book)
        await visit.begin(rng.choice(ROOMS))
        await visit.check_draft()
        for _ in range(rng.randint(3, 8)):
            await self._act(rng, visit)
            await visit.check()
            await asyncio.sleep(rng.uniform(0, 1.5))
        self._book.counts["turns"] += 1
        ending = rng.choice(("log out", "lose the login", "close the tab"))
        if ending == "log out":
            await visit.log_out()
        elif ending == "lose the login":
            await visit.lose_login()
        await page.close()

    async def _act(self, rng: random.Random, visit: Visit) -> None:
        other = rng.choice([room for room in ROOMS if room != visit.room])
        kind = rng.choices(("say", "draft", "go", "place"), (6, 2, 2, 2))[0]
        self._book.counts[f"act: {kind}"] += 1
        if kind == "say":
            await visit.say()
        elif kind == "draft":
            await visit.begin_text()
        elif kind == "go":
            await visit.go(other)
        else:
            await visit.keep_place(rng.choice(("reload", "rooms")), rng.uniform(0.1, 0.8), other)

    async def finish(self, installation: Installation) -> None:
        """Have each person send what is not sent yet."""
        for name in self._names:
            page = await self._context.new_page()
            visit = Visit(page, name, self._rooms, self._url, self._book)
            await visit.begin(ROOMS[0])
            await visit.finish(installation)
            await page.close()


async def kill_servers(installation: Installation, rng: random.Random, end: float, book: Book) -> None:
    """Kill chat or msgqueue now and then."""
    while time.monotonic() < end:
        await asyncio.sleep(rng.uniform(*OUTAGES))
        length = rng.uniform(*LENGTHS)
        if rng.random() < 0.5:
            book.counts["chat killed"] += 1
            book.note(f"chat is killed for {length:.1f} s")
            await installation.chat.kill()
            await asyncio.sleep(length)
            await installation.start_chat()
        else:
            book.counts["msgqueue killed"] += 1
            book.note(f"msgqueue is killed for {length:.1f} s")
            await installation.pipeline.msgqueue.kill()
            await asyncio.sleep(length)
            await installation.pipeline.msgqueue.start()


async def history(installation: Installation, room: str) -> list[dict[str, Any]]:
    """Return all messages of a room."""
    async with installation.http() as http:
        answer = await http.get(f"/api/room/{room}/messages", params={"type": "chat"})
        messages: list[dict[str, Any]] = answer.raise_for_status().json()
        return messages


async def judge(installation: Installation, rooms: dict[str, str], book: Book) -> list[str]:
    """Compare the log with what was said."""
    problems = []
    stored: Counter[str] = Counter()
    for room in rooms.values():
        for each in await history(installation, room):
            text = each["message"]
            stored[text] += 1
            if text in book.said and (each["memberName"], room) != book.said[text]:
                problems.append(f"{text!r} was said by {each['memberName']} in {room}")
            elif text not in book.said and not text.endswith("before"):
                problems.append(f"{text!r} was not to be said")
    problems += [f"{text!r} is there {count} times" for text, count in stored.items() if count > 1]
    missing = book.said.keys() - stored.keys() - book.given_up
    problems += [f"{text!r} is lost" for text in missing]
    return problems


async def main(minutes: float, seed: int) -> int:
    """Run a trial; return the exit code."""
    rng, book = random.Random(seed), Book()
    end = time.monotonic() + 60 * minutes
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certs.ensure(folder)
        settings = {"queue_wait": 3, "return_spread": 0.5}
        installation = await stack.enter_async_context(
            Installation(folder, folder, client_context(folder), **settings)
        )
        browser = await stack.enter_async_context(open_browser(folder))
        rooms = {name: await installation.make_room(name) for name in ROOMS}
        elder = await installation.log_in("Elder")
        for room in rooms.values():
            await elder.say(room, *(f"{number} {room} before" for number in range(OLD_MESSAGES)))
        machines = [
            Machine(await browser.new_context(), names, rooms, installation.url, book) for names in MACHINES
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for machine in machines:
                    group.create_task(machine.run(random.Random(rng.random()), end))
                group.create_task(kill_servers(installation, random.Random(rng.random()), end, book))
            for machine in machines:
                await machine.finish(installation)
        except* Broken as broken:
            problems = [*book.trace, *(str(each) for each in broken.exceptions)]
        else:
            problems = await judge(installation, rooms, book)
    print(*(f"{count:6} {what}" for what, count in sorted(book.counts.items())), sep="\n")  # noqa: T201
    print(*(problems or ["no word seen by another, none lost, no place lost"]), sep="\n")  # noqa: T201
    return 1 if problems else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sys.exit(uvloop.run(main(given.minutes, given.seed)))

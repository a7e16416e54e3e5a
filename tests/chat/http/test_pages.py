"""The files of the web page."""

from chat.http.pages import FOLDER
from tests.chat.client import ChatClient


async def test_every_file_of_the_page_is_served(chat: ChatClient) -> None:
    """The page itself, and each of its files, come as they are, without a login (line 31)."""
    for path in (path for path in FOLDER.rglob("*") if path.is_file()):
        place = "/" if path.name == "index.html" else f"/{path.relative_to(FOLDER).as_posix()}"
        response = await chat.http.get(place)
        assert response.content == path.read_bytes()
        if path.suffix in (".html", ".js", ".css", ".svg"):
            kinds = {
                ".html": "text/html",
                ".js": "text/javascript",
                ".css": "text/css",
                ".svg": "image/svg+xml",
            }
            assert response.headers["Content-Type"].startswith(kinds[path.suffix])


async def test_a_file_that_has_not_changed_is_not_sent_again(chat: ChatClient) -> None:
    """A browser asks each time, and is told that it has the file already."""
    first = await chat.http.get("/")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await chat.http.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await chat.http.get("/", headers={"If-None-Match": '"something else"'})
    assert other.status_code == 200


async def test_typed_addresses_lead_to_the_page(chat: ChatClient) -> None:
    """The address of a room leads to it in the page, and the icon is where browsers look for it."""
    for room, fragment in (("eng", "eng"), ("a%20b/c", "a%20b%2Fc")):
        response = await chat.http.get(f"/rooms/{room}")
        assert (response.status_code, response.headers["Location"]) == (307, f"/#{fragment}")
    icon = await chat.http.get("/favicon.ico")
    assert icon.headers["Content-Type"].startswith("image/svg+xml")
    assert icon.content == (FOLDER / "icon.svg").read_bytes()

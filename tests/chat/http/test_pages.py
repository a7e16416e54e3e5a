"""The files of the web page."""

import re
import shutil
from pathlib import Path

import httpx
from starlette.applications import Starlette

from chat.http.pages import FOLDER, routes
from fanline.server.pages.web_page import SHARED
from tests.chat.client import ChatClient

KINDS = {"html": "text/html", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


ADDRESS = re.compile(r'(?:href|src)="(static/[^"]+)"')


async def test_every_file_of_the_page_is_served(chat: ChatClient) -> None:
    """The page names all modules, to load them at once; each file comes as it is (line 31)."""
    page = (await chat.http.get("/")).text
    folder = ADDRESS.search(page)[1].rpartition("/")[0]  # type: ignore[index]
    files = {path.relative_to(FOLDER).as_posix(): path for path in FOLDER.rglob("*") if path.is_file()}
    del files["index.html"]
    files |= {f"shared/{path.name}": path for path in SHARED.iterdir()}
    for name, path in files.items():
        response = await chat.http.get(f"/{folder}/{name}")
        assert response.content == path.read_bytes()
        assert response.headers["Content-Type"].startswith(KINDS[name.rpartition(".")[2]])
        assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert {f"{folder}/{name}" for name in files} == set(ADDRESS.findall(page))
    for unknown in (f"{folder}/index.html", f"{folder}/../app.js", f"{folder}/", folder, "app.js"):
        assert (await chat.http.get(f"/{unknown}")).status_code == 404


async def test_files_are_compressed_for_those_who_can(chat: ChatClient) -> None:
    """The files of the page have a fourth of their size on the way to a browser, which may refuse that."""
    for path in ("/", "/fanline.js"):
        plain = await chat.http.get(path, headers={"Accept-Encoding": "br, gzip;q=0"})
        packed = await chat.http.get(path, headers={"Accept-Encoding": "br, gzip"})
        assert "Content-Encoding" not in plain.headers
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.content == plain.content
        assert 3 * int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
        assert "Accept-Encoding" in packed.headers["Vary"]


async def test_a_file_that_has_not_changed_is_not_sent_again(chat: ChatClient) -> None:
    """A browser asks for the page each time, and is told that it has it already."""
    first = await chat.http.get("/")
    assert first.headers["Cache-Control"] == "no-cache"
    again = await chat.http.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    other = await chat.http.get("/", headers={"If-None-Match": '"something else"'})
    assert other.status_code == 200


def client_of(folder: Path) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(Starlette(routes=[*routes(folder)]))
    return httpx.AsyncClient(transport=transport, base_url="https://localhost")


async def test_another_version_has_other_addresses(tmp_path: Path) -> None:
    """A change of any file changes the folder of all; a page of the former version still finds them."""
    folder = tmp_path / "static"
    shutil.copytree(FOLDER, folder)
    async with client_of(folder) as client:
        former = ADDRESS.findall((await client.get("/")).text)
    (folder / "page/dom.js").write_text("// changed")
    async with client_of(folder) as client:
        assert not {*former} & {*ADDRESS.findall((await client.get("/")).text)}
        response = await client.get(next(each for each in former if each.endswith("page/dom.js")))
        assert (response.text, response.headers["Cache-Control"]) == ("// changed", "no-cache")


async def test_typed_addresses_lead_to_the_page(chat: ChatClient) -> None:
    """The address of a room leads to it in the page, and the icon is where browsers look for it."""
    for room, fragment in (("eng", "eng"), ("a%20b/c", "a%20b%2Fc")):
        response = await chat.http.get(f"/rooms/{room}")
        assert (response.status_code, response.headers["Location"]) == (307, f"/#{fragment}")
    icon = await chat.http.get("/favicon.ico")
    assert icon.headers["Content-Type"].startswith("image/svg+xml")
    assert icon.content == (FOLDER / "icon.svg").read_bytes()

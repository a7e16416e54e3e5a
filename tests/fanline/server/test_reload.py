"""Files that change while a service runs."""

import asyncio
import ssl
from pathlib import Path

import httpx

import certs
from fanline.security.client_tls import client_context
from fanline.security.tls import SERVER_CERT
from fanline.security.tokens import TokenKey
from fanline.server import Service
from tests.conftest import Dial, StartService, open_websocket
from tests.fanline.server.conftest import Echo, Get, MakeToken, bearer
from tests.stubs import DEADLINE, PASSWORD, USER


async def certificate_of(service: Service, tls: ssl.SSLContext) -> bytes | None:
    """Return the certificate that a new connection gets."""
    _, writer = await asyncio.open_connection("localhost", service.port, ssl=tls)
    found: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return found


async def ask(
    service: Service, tls: ssl.SSLContext, path: str, login: tuple[str, str] | None = (USER, PASSWORD)
) -> httpx.Response:
    async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False) as client:
        return await client.get(f"https://localhost:{service.port}{path}")


async def test_a_renewed_certificate_is_for_new_connections(
    start_service: StartService, echo: Echo, tmp_path: Path
) -> None:
    """Open ones stay; a broken one leaves that before in force, and shows (line 53)."""
    folder = tmp_path / "certs"
    certs.ensure(folder)
    tls = client_context(folder)
    service = await start_service(echo.open, cert_dir=folder)
    client = await open_websocket(f"wss://localhost:{service.port}/echo", tls)
    first = await certificate_of(service, tls)
    certs.renew(folder)
    async with asyncio.timeout(DEADLINE):
        while (renewed := await certificate_of(service, tls)) == first:
            await asyncio.sleep(0.05)
    (folder / SERVER_CERT).write_text("nonsense")
    async with asyncio.timeout(DEADLINE):
        while "cannot be used" not in (await ask(service, tls, "/readyz?verbose", login=None)).text:
            await asyncio.sleep(0.05)
    answer = await ask(service, tls, "/readyz?verbose")
    assert answer.status_code == 200
    assert f"{folder / SERVER_CERT}: holds no certificate" in answer.text
    assert "fanline_reload_problems 1.0" in (await ask(service, tls, "/metrics")).text
    assert await certificate_of(service, tls) == renewed
    await client.send("x")
    assert "x" in str(await client.recv())
    await client.close()


async def test_another_token_key_ends_connections(
    service: Service, dial: Dial, get: Get, key: TokenKey, make_token: MakeToken
) -> None:
    """The tokens of the key before open nothing any more, what they opened is closed (line 53)."""
    token = make_token()
    client = await dial(service, f"/echo?token={token}", user="", password="")
    key.path.unlink()
    TokenKey(key.path).create_if_missing()
    await client.wait_closed()
    assert (client.close_code, client.close_reason) == (4001, "the key of tokens has changed: log in again")
    assert (await get(service, "/page", login=None, headers=bearer(token))).status_code == 401

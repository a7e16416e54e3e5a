"""Files and settings that change while a service runs."""

import asyncio
import logging
import re
import ssl
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

import certs
from fanline.errors import ConfigurationError
from fanline.security.client_tls import client_context
from fanline.security.tls import SERVER_CERT, ServerCertificate
from fanline.security.tokens import TokenKey
from fanline.server import Service
from fanline.settings import ServiceSettings
from tests.conftest import Dial, StartService, WallClock, open_websocket
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
    async with httpx.AsyncClient(verify=tls, auth=login, trust_env=False, timeout=DEADLINE) as client:
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
    service.reload(lambda _: service.settings)
    renewed = await certificate_of(service, tls)
    assert renewed != first
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


async def test_a_certificate_about_to_expire_is_told(
    start_service: StartService, echo: Echo, cert_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From 14 days before on there is a warning at the start, and one each day, with what to do (line 53)."""
    clock = WallClock()
    certificate = ServerCertificate(cert_dir)
    clock.offset = certificate.expires - clock() - 13.2 * 86_400
    await start_service(echo.open, wall_clock=clock)
    assert "server.crt: expires in 13.2 days, on " in caplog.text
    assert "python -m certs renew" in caplog.text
    caplog.clear()
    day = 86_400
    for seconds_before in (15 * day, 14.01 * day, 14 * day, 13.5 * day, 13 * day, -day):
        certificate.warn_of_expiry(certificate.expires - seconds_before)
    assert re.findall("(expire.*?),", caplog.text) == [
        "expires in 14.0 days",
        "expires in 13.0 days",
        "expired 1.0 days ago",
    ]


async def test_another_token_key_ends_connections(
    service: Service, dial: Dial, get: Get, key: TokenKey, make_token: MakeToken
) -> None:
    """The tokens of the key before open nothing any more, what they opened is closed (line 53)."""
    token = make_token()
    client = await dial(service, f"/echo?token={token}", user="", password="")
    key.path.unlink()
    TokenKey(key.path).create_if_missing()
    await client.wait_closed()
    assert (client.close_code, client.close_reason) == (
        4001,
        "the key or the settings of tokens have changed: log in again",
    )
    assert (await get(service, "/page", login=None, headers=bearer(token))).status_code == 401


async def test_settings_are_read_again(
    start_service: StartService, echo: Echo, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    """Settings that can be changed count for new connections; the others are named in the log (line 53)."""
    service = await start_service(echo.open)
    before = service.settings
    changes = {"max_connections_per_user": 1, "log_level": "debug", "max_content": 2_048}
    with caplog.at_level(logging.INFO):
        service.reload(lambda _: before.model_copy(update=changes))
        assert logging.getLogger().level == logging.DEBUG
    assert "read the settings again; changed: log_level, max_connections_per_user" in caplog.messages
    assert "changed, but in force after a restart only: max_content" in caplog.messages
    await dial(service, "/echo", user="hello")
    with pytest.raises(InvalidStatus) as refused:
        await dial(service, "/echo", user="hello")
    assert refused.value.response.status_code == 429
    with caplog.at_level(logging.INFO):
        service.reload(lambda _: before)
    await dial(service, "/echo")
    assert service.settings == before


async def test_settings_that_are_wrong_change_nothing(
    service: Service, get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    """The mistake is logged, shows to users, and is gone with the next settings (line 53)."""
    before = service.settings

    def fail(_: object) -> ServiceSettings:
        raise ConfigurationError("log_level: no such level")

    service.reload(fail)
    problem = "log_level: no such level; the settings from before remain in force"
    assert problem in caplog.messages
    wrong = before.model_copy(update={"jwks_url": "https://id.example/keys", "max_connections_per_user": 1})
    for read, text in ((fail, problem), (lambda _: wrong, "token_issuer and token_audience: set both")):
        service.reload(read)
        assert text in (await get(service, "/readyz?verbose")).text
        assert service.settings == before
    service.reload(lambda _: before)
    assert (await get(service, "/readyz?verbose")).text == "ok\n"

"""``python -m fanline.server.healthcheck``: alive is what answers 200 over a verified connection."""

import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import certs
from fanline.errors import ConfigurationError, Disconnected
from fanline.security.tls import server_context
from fanline.server import healthcheck
from fanline.setting_sources import read
from msgqueue.settings import MsgQueueSettings


class Service(HTTPServer):
    """Answers each request over TLS with one status, and keeps the paths that were asked for."""

    def __init__(self, cert_dir: Path) -> None:
        self.status = HTTPStatus.OK
        self.paths: list[str] = []
        self.logins: list[str | None] = []
        super().__init__(("127.0.0.1", 0), Answer)
        self.socket = server_context(cert_dir).wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in the handshake is what some tests are about."""


class Answer(BaseHTTPRequestHandler):
    server: Service

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.logins.append(self.headers["Authorization"])
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(b"msgqueue is away\n")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def service(cert_dir: Path) -> Iterator[Service]:
    with Service(cert_dir) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield service
        service.shutdown()
        thread.join()


@pytest.fixture
def settings(cert_dir: Path, service: Service) -> MsgQueueSettings:
    return read(MsgQueueSettings, cert_dir=cert_dir, msgqueue_port=service.server_port)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_alive(settings: MsgQueueSettings, service: Service, host: str) -> None:
    """A service that answers /healthz with 200 is alive, also when it listens on every address."""
    healthcheck.check(settings.model_copy(update={"host": host}))
    assert service.paths == ["/healthz"]


def test_another_answer(settings: MsgQueueSettings, service: Service) -> None:
    """A service that answers anything else is not alive."""
    service.status = HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(Disconnected, match="answers 503 to /healthz"):
        healthcheck.check(settings)


def test_not_ready(settings: MsgQueueSettings, service: Service) -> None:
    """Asked at /readyz, a service that is not ready is quoted with its reason."""
    service.status = HTTPStatus.SERVICE_UNAVAILABLE
    with pytest.raises(Disconnected, match="answers 503 to /readyz: msgqueue is away"):
        healthcheck.check(settings, "/readyz", ("hello", "test"))
    assert service.logins == ["Basic aGVsbG86dGVzdA=="]


def test_no_service_there(settings: MsgQueueSettings, service: Service) -> None:
    """A port without a listener is not alive; the error names the address."""
    service.server_close()
    with pytest.raises(Disconnected, match=f"does not answer at 127.0.0.1:{service.server_port}"):
        healthcheck.check(settings)


def test_certificate_of_another_authority(
    settings: MsgQueueSettings, service: Service, tmp_path: Path
) -> None:
    """A service whose certificate another CA has signed is not believed, nor asked anything."""
    certs.ensure(tmp_path)
    with pytest.raises(Disconnected, match="certificate verify failed"):
        healthcheck.check(settings.model_copy(update={"cert_dir": tmp_path}))
    assert service.paths == []


def test_no_certificate(settings: MsgQueueSettings, tmp_path: Path) -> None:
    """A missing CA certificate is the operator's mistake, and is named."""
    with pytest.raises(ConfigurationError, match=r"ca\.crt"):
        healthcheck.check(settings.model_copy(update={"cert_dir": tmp_path}))


def test_program(settings: MsgQueueSettings, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program reads the service's own settings; unless it is alive, it ends with a sentence."""
    monkeypatch.setenv("FANLINE_CERT_DIR", str(settings.cert_dir))
    monkeypatch.setenv("FANLINE_SUBSCRIBER_PORT", str(service.server_port))
    healthcheck.main(["subscriber"])
    service.status = HTTPStatus.NOT_FOUND
    with pytest.raises(SystemExit, match=r"^healthcheck: subscriber at .* answers 404"):
        healthcheck.main(["subscriber"])


def test_unknown_service(capsys: pytest.CaptureFixture[str]) -> None:
    """A name that is no service is refused, with those that there are."""
    with pytest.raises(SystemExit):
        healthcheck.main(["sub"])
    said = capsys.readouterr().err
    assert all(service in said for service in ("msgqueue", "publisher", "subscriber"))

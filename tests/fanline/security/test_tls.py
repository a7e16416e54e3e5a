"""TLS between real sockets, and every way in which a certificate can be wrong."""

import asyncio
import os
import re
import shutil
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

import certs
from certs.authority import Pair, SigningKey, issue, make_authority
from certs.names import parse_names
from fanline import setting_sources
from fanline.errors import ConfigurationError
from fanline.files import typed
from fanline.security.client_tls import CA_CERT, client_context
from fanline.security.tls import SERVER_CERT, SERVER_KEY, ServerCertificate, read_key, server_context
from fanline.settings import Settings
from tests.stubs import DEADLINE

NOW = datetime.now(UTC)
UNPRIVILEGED = 65534

Use = Callable[[Path], ssl.SSLContext]

# Every file that either side needs, with who needs it.
FILES = [(CA_CERT, client_context), (SERVER_CERT, server_context), (SERVER_KEY, server_context)]
CERTIFICATES = FILES[:2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with good certificates."""
    certs.ensure(tmp_path / "certs")
    return tmp_path / "certs"


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A folder of another installation."""
    certs.ensure(tmp_path / "other")
    return tmp_path / "other"


@contextmanager
def without_the_rights_of_root() -> Iterator[None]:
    """Go on as a user like any other."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(UNPRIVILEGED)
    try:
        yield
    finally:
        os.seteuid(user)


def put(folder: Path, server: Pair) -> None:
    (folder / SERVER_CERT).write_bytes(server.certificate_pem())
    (folder / SERVER_KEY).write_bytes(server.key_pem())


def complaint(use: Use, folder: Path, name: str) -> str:
    """Return the error about the file ``name``: one sentence that begins with its path."""
    with pytest.raises(ConfigurationError) as caught:
        use(folder)
    path, text = str(caught.value).split(": ", 1)
    assert path == str(folder / name)
    assert "\n" not in text
    return text


async def greeting(server: Path, client: ssl.SSLContext, host: str) -> tuple[bytes, str | None]:
    """Return the greeting that a client reads from a server at ``host``, and the TLS version."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            writer.write(b"hello")
            await writer.drain()
            writer.close()
            await writer.wait_closed()

    listener = await asyncio.start_server(greet, "127.0.0.1", 0, ssl=server_context(server))
    async with listener, asyncio.timeout(DEADLINE):
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=host)
        try:
            version = writer.get_extra_info("ssl_object").version()
            return await reader.read(), version
        finally:
            writer.close()
            with suppress(ConnectionError, ssl.SSLError):
                await writer.wait_closed()


class TestHandshake:
    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "msgqueue"])
    async def test_a_client_reaches_a_server_by_each_of_its_names(self, folder: Path, host: str) -> None:
        """Whatever name of the certificate the client calls the server by, it trusts it."""
        assert await greeting(folder, client_context(folder), host) == (b"hello", "TLSv1.3")

    async def test_the_strictest_client_is_content(self, folder: Path) -> None:
        """A client that holds certificates to RFC 5280 by the letter trusts those that are made."""
        client = client_context(folder)
        client.verify_flags |= ssl.VERIFY_X509_STRICT
        assert (await greeting(folder, client, "localhost"))[0] == b"hello"

    async def test_a_wrong_name_is_refused(self, folder: Path) -> None:
        """A server that shows a certificate for other names is not the one that was called."""
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await greeting(folder, client_context(folder), "example.com")

    async def test_a_wrong_address_is_refused(self, folder: Path) -> None:
        """The same goes for an address."""
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            await greeting(folder, client_context(folder), "127.0.0.2")

    async def test_another_ca_is_refused(self, folder: Path, other: Path) -> None:
        """A server of another installation is not trusted."""
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await greeting(other, client_context(folder), "localhost")

    def test_the_system_s_own_cas_are_not_trusted(self, folder: Path) -> None:
        """A client trusts the CAs of its file, and no other."""
        assert client_context(folder).cert_store_stats() == {"x509": 1, "x509_ca": 1, "crl": 0}

    async def test_a_client_can_trust_several_cas(self, folder: Path, other: Path) -> None:
        """While a CA is being replaced, both the old one and the new one can be in the file."""
        with (folder / CA_CERT).open("ab") as file:
            file.write((other / CA_CERT).read_bytes())
        for server in (folder, other):
            assert (await greeting(server, client_context(folder), "localhost"))[0] == b"hello"

    async def test_a_renewed_server_is_trusted_by_old_clients(self, folder: Path) -> None:
        """A client that has read the CA before a renewal trusts the server after it."""
        client = client_context(folder)
        certs.renew(folder)
        assert (await greeting(folder, client, "localhost"))[0] == b"hello"

    async def test_a_new_ca_is_unknown_to_old_clients(self, folder: Path) -> None:
        """A client that trusts the old CA refuses what the new one has signed, until its file is changed."""
        client = client_context(shutil.copytree(folder, folder.with_name("old")))
        certs.renew(folder, ca=True)
        with pytest.raises(ssl.SSLCertVerificationError):
            await greeting(folder, client, "localhost")
        shutil.copy(folder / CA_CERT, folder.with_name("old"))
        assert (await greeting(folder, client, "localhost"))[0] == b"hello"

    async def test_intermediate_certificates_are_shown(self, folder: Path) -> None:
        """A server certificate that a CA below the trusted one has signed comes with that CA's."""
        root = authority("root", ec.generate_private_key(ec.SECP256R1()))
        middle = authority("middle", ec.generate_private_key(ec.SECP256R1()), root)
        put(folder, issue(middle, parse_names(["localhost"]), NOW))
        with (folder / SERVER_CERT).open("ab") as file:
            file.write(middle.certificate_pem())
        (folder / CA_CERT).write_bytes(root.certificate_pem())
        assert (await greeting(folder, client_context(folder), "localhost"))[0] == b"hello"

    @pytest.mark.parametrize("use", [server_context, client_context])
    def test_tls_1_2_is_the_oldest(self, folder: Path, use: Use) -> None:
        """Neither side agrees to anything older than TLS 1.2."""
        assert use(folder).minimum_version is ssl.TLSVersion.TLSv1_2

    @pytest.mark.parametrize("use", [server_context, client_context])
    def test_all_ciphers_are_authenticated(self, folder: Path, use: Use) -> None:
        """Neither side offers CBC, or a key exchange without forward secrecy."""
        names = [each["name"] for each in use(folder).get_ciphers()]
        assert any(name.startswith("ECDHE") for name in names)
        assert all("GCM" in name or "CHACHA20" in name for name in names)
        assert all(name.startswith(("ECDHE-", "TLS_")) for name in names)

    async def test_tls_1_2_is_spoken(self, folder: Path) -> None:
        """A client that knows no newer version is served."""
        client = client_context(folder)
        client.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await greeting(folder, client, "localhost") == (b"hello", "TLSv1.2")


class TestMistakes:
    @pytest.mark.parametrize(("name", "use"), FILES)
    def test_a_missing_file_is_named(self, folder: Path, name: str, use: Use) -> None:
        """A missing file is named, with the command that makes it (line 3)."""
        (folder / name).unlink()
        text = complaint(use, folder, name)
        command = f"{typed('python')} -m certs --dir {folder}"
        assert text == f"there is no such file; `{command}` makes development certificates"

    def test_the_command_can_be_pasted(self, tmp_path: Path) -> None:
        """A folder whose name has a space is quoted for the shell (line 3)."""
        folder = tmp_path / "my certs"
        assert f"--dir '{folder}'`" in complaint(client_context, folder, CA_CERT)

    @pytest.mark.parametrize(("name", "use"), FILES)
    def test_a_folder_in_place_of_a_file_is_named(self, folder: Path, name: str, use: Use) -> None:
        """A file that cannot be read is named, with the reason (line 3)."""
        (folder / name).unlink()
        (folder / name).mkdir()
        assert complaint(use, folder, name).startswith("cannot be read (Is a directory); replace it")

    @pytest.mark.parametrize(("name", "use"), FILES)
    def test_a_file_without_permission_is_named(self, name: str, use: Use) -> None:
        """A file that the user may not read is named, with the user and what to change (line 3)."""
        with tempfile.TemporaryDirectory() as entered_by_all:
            folder = Path(entered_by_all)
            folder.chmod(0o755)
            certs.ensure(folder)
            (folder / SERVER_KEY).chmod(0o644)
            (folder / name).chmod(0)
            with without_the_rights_of_root():
                text = complaint(use, folder, name)
        assert re.match(r"user \d+ may not read it; change its owner or its mode", text)

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe\0", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
    @pytest.mark.parametrize(("name", "use"), FILES)
    def test_a_file_of_another_format_is_named(
        self, folder: Path, name: str, use: Use, content: bytes
    ) -> None:
        """A file that is not PEM is named, with what was expected (line 3)."""
        (folder / name).write_bytes(content)
        text = complaint(use, folder, name)
        assert re.match(r"holds no (certificate|private key) in PEM format; replace it", text)
        assert "python -m certs --dir" in text

    @pytest.mark.parametrize(("name", "use"), CERTIFICATES)
    def test_a_damaged_certificate_is_named(self, folder: Path, name: str, use: Use) -> None:
        """PEM that holds something other than a certificate is named (line 3)."""
        (folder / name).write_bytes(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        assert complaint(use, folder, name).startswith("holds no certificate in PEM format")

    def test_key_and_certificate_mixed_up_are_named(self, folder: Path) -> None:
        """A key where the certificate should be, and the other way round, is seen (line 3)."""
        shutil.move(folder / SERVER_CERT, folder / "kept")
        shutil.copy(folder / SERVER_KEY, folder / SERVER_CERT)
        assert complaint(server_context, folder, SERVER_CERT).startswith("holds no certificate")
        shutil.copy(folder / "kept", folder / SERVER_CERT)
        shutil.copy(folder / "kept", folder / SERVER_KEY)
        assert complaint(server_context, folder, SERVER_KEY).startswith("holds no private key")

    def test_a_key_of_another_certificate_is_named(self, folder: Path, other: Path) -> None:
        """A key that does not belong to the certificate is named, with how to renew both (line 3)."""
        shutil.copy(other / SERVER_KEY, folder)
        text = complaint(server_context, folder, SERVER_KEY)
        assert text.startswith("does not belong to server.crt of the same folder")
        assert f"python -m certs renew --dir {folder}`" in text

    def test_a_key_of_another_kind_is_named(self, folder: Path) -> None:
        """An RSA key with an EC certificate is no different (line 3)."""
        key = rsa.generate_private_key(65537, 2048)
        (folder / SERVER_KEY).write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        assert complaint(server_context, folder, SERVER_KEY).startswith("does not belong to server.crt")

    def test_a_key_with_a_passphrase_is_named(self, folder: Path) -> None:
        """No passphrase is asked for: the service could not start by itself (line 3)."""
        key = read_key(folder / SERVER_KEY)
        encryption = BestAvailableEncryption(b"word")
        (folder / SERVER_KEY).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
        assert complaint(server_context, folder, SERVER_KEY).startswith("has a passphrase")

    def test_an_expired_server_certificate_is_named(self, folder: Path) -> None:
        """An expired certificate is named, with the day and how to renew it (line 3)."""
        put(folder, issue(make_authority(NOW), parse_names(["localhost"]), NOW - timedelta(days=398)))
        text = complaint(server_context, folder, SERVER_CERT)
        assert text.startswith(f"expired on {NOW - timedelta(days=1, hours=1):%Y-%m-%d}; replace it")
        assert f"python -m certs renew --dir {folder}`" in text

    def test_an_expired_ca_is_named(self, folder: Path) -> None:
        """A client does not start with an expired CA (line 3)."""
        expired = make_authority(NOW - timedelta(days=3660))
        (folder / CA_CERT).write_bytes(expired.certificate_pem())
        text = complaint(client_context, folder, CA_CERT)
        assert text.startswith("expired on ")
        assert f"python -m certs renew --ca --dir {folder}`" in text

    async def test_an_expired_ca_next_to_a_valid_one_is_accepted(self, folder: Path) -> None:
        """Among several CAs one that is valid is enough."""
        expired = make_authority(NOW - timedelta(days=3660))
        good = (folder / CA_CERT).read_bytes()
        (folder / CA_CERT).write_bytes(expired.certificate_pem() + good)
        assert (await greeting(folder, client_context(folder), "localhost"))[0] == b"hello"

    def test_a_certificate_of_the_future_is_named(self, folder: Path) -> None:
        """A certificate that is not valid yet is more likely a wrong clock (line 3)."""
        put(folder, issue(make_authority(NOW), parse_names(["localhost"]), NOW + timedelta(days=2)))
        text = complaint(server_context, folder, SERVER_CERT)
        assert re.match(r"is not valid before \d{4}-\d\d-\d\d \d\d:\d\d UTC; check the clock", text)

    def test_a_certificate_that_openssl_refuses_is_named(self, folder: Path) -> None:
        """A key too short to be of use is named, with what OpenSSL says of it (line 3)."""
        put(folder, authority("weak", rsa.generate_private_key(65537, 1024)))
        assert complaint(server_context, folder, SERVER_CERT).startswith(
            "OpenSSL refuses it (EE_KEY_TOO_SMALL)"
        )

    @pytest.mark.parametrize("slash", ["", "/"])
    async def test_the_folder_may_end_in_a_slash(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, slash: str
    ) -> None:
        """``WS_CERT_DIR`` is used with and without a trailing slash (line 3)."""
        monkeypatch.delenv("FANLINE_CERT_DIR", raising=False)
        monkeypatch.setenv("WS_CERT_DIR", f"{folder}{slash}")
        cert_dir = setting_sources.read(Settings).cert_dir
        assert (await greeting(cert_dir, client_context(cert_dir), "localhost"))[0] == b"hello"
        (folder / CA_CERT).unlink()
        complaint(client_context, cert_dir, CA_CERT)


class TestFollowing:
    """The certificate of a listener follows its files."""

    def test_a_renewed_certificate_is_loaded(self, folder: Path) -> None:
        """It counts when two looks have found the same files, or one that an operator asks for (line 53)."""
        certificate = ServerCertificate(folder)
        assert not certificate.look()
        for is_final in (False, True):
            before = certificate.context
            certs.renew(folder, ["new.internal"])
            if not is_final:
                assert not certificate.look()
                assert certificate.context is before
            assert certificate.look(is_final=is_final)
            assert certificate.context is not before
            assert "new.internal" in certificate.names
        assert certificate.problem is None

    def test_files_that_cannot_be_used_change_nothing(
        self, folder: Path, other: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """A certificate without its key, or none, is reported once, and the one before remains (line 53)."""
        certificate = ServerCertificate(folder)
        before, good = certificate.context, (folder / SERVER_CERT).read_bytes()
        for content, reason in (
            ((other / SERVER_CERT).read_bytes(), "does not belong to server.crt"),
            (b"nonsense", "holds no certificate"),
            (None, "there is no such file"),
        ):
            caplog.clear()
            (folder / SERVER_CERT).unlink()
            if content is not None:
                (folder / SERVER_CERT).write_bytes(content)
            assert not any(certificate.look() for _ in range(4))
            assert reason in str(certificate.problem)
            assert [record.getMessage() for record in caplog.records] == [certificate.problem]
            assert certificate.context is before
        (folder / SERVER_CERT).write_bytes(good)
        assert certificate.look(is_final=True)
        assert certificate.problem is None


def authority(name: str, key: SigningKey, issuer: Pair | None = None) -> Pair:
    """A CA that ``issuer`` has signed, or itself."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(issuer.key if issuer else key, SHA256())
    )
    return Pair(certificate, key)

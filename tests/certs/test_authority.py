"""The certificates themselves: what the strictest readers ask of them."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from certs.authority import BACKDATE, Pair, SigningKey, is_issued_by, issue, make_authority
from certs.names import parse_names
from fanline.security.tls import names_of

NOW = datetime.now(UTC).replace(microsecond=0)
NAMES = parse_names(["localhost", "127.0.0.1"])


@pytest.fixture(scope="module")
def authority() -> Pair:
    return make_authority(NOW)


@pytest.fixture(scope="module")
def server(authority: Pair) -> Pair:
    return issue(authority, NAMES, NOW)


def is_critical(certificate: x509.Certificate, extension: type[x509.ExtensionType]) -> bool:
    return certificate.extensions.get_extension_for_class(extension).critical


def bare_authority(key: SigningKey, *extensions: x509.ExtensionType) -> Pair:
    """A CA as old tools make it: no extensions but those given."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bare")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(days=30))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Pair(builder.sign(key, SHA256()), key)


def test_a_strict_verifier_accepts_the_server(authority: Pair, server: Pair) -> None:
    """The rules of the web PKI hold for what a CA issues, for its names and no others."""
    policy = PolicyBuilder().store(Store([authority.certificate])).time(NOW)
    chain = policy.build_server_verifier(x509.DNSName("localhost")).verify(server.certificate, [])
    assert chain == [server.certificate, authority.certificate]
    with pytest.raises(VerificationError):
        policy.build_server_verifier(x509.DNSName("example.com")).verify(server.certificate, [])


def test_the_ca_can_sign_certificates_and_nothing_else(authority: Pair) -> None:
    """The CA is marked as one, cannot make further CAs, and its key signs certificates only."""
    extensions = authority.certificate.extensions
    constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = extensions.get_extension_for_class(x509.KeyUsage).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert (usage.key_cert_sign, usage.digital_signature) == (True, False)
    assert is_critical(authority.certificate, x509.BasicConstraints)
    assert is_critical(authority.certificate, x509.KeyUsage)


def test_the_server_certificate_is_for_both_ends_of_tls(server: Pair) -> None:
    """The server certificate is no CA, has its names, and may be shown by a server and by a client."""
    extensions = server.certificate.extensions
    assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    assert extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ]
    assert names_of(server.certificate) == NAMES
    assert is_critical(server.certificate, x509.BasicConstraints)
    assert is_critical(server.certificate, x509.KeyUsage)


def test_keys_are_told_apart_by_their_identifiers(authority: Pair, server: Pair) -> None:
    """Each certificate names its own key, the server's also that of its CA."""
    of_ca = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    of_server = server.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = server.certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == of_ca.digest != of_server.digest


@pytest.mark.parametrize("which", ["authority", "server"])
def test_keys_are_on_p_256(which: str, request: pytest.FixtureRequest) -> None:
    """Every key that is made is one for ECDSA on P-256, and belongs to its certificate."""
    pair: Pair = request.getfixturevalue(which)
    assert isinstance(pair.key.public_key(), ec.EllipticCurvePublicKey)
    assert pair.key.key_size == 256
    assert pair.key.public_key() == pair.certificate.public_key()


def test_lifetimes(authority: Pair, server: Pair) -> None:
    """The CA is valid for ten years, the server certificate for the 397 days that browsers take."""
    assert authority.certificate.not_valid_before_utc == server.certificate.not_valid_before_utc
    assert server.certificate.not_valid_before_utc == NOW - BACKDATE
    assert server.certificate.not_valid_after_utc - server.certificate.not_valid_before_utc == timedelta(397)
    years = authority.certificate.not_valid_after_utc - authority.certificate.not_valid_before_utc
    assert years == timedelta(3653)


def test_a_server_certificate_does_not_outlive_its_ca(authority: Pair) -> None:
    """In the last year of a CA, what it issues ends with it."""
    end = authority.certificate.not_valid_after_utc
    late = issue(authority, NAMES, end - timedelta(days=100))
    assert late.certificate.not_valid_after_utc == end


def test_certificates_are_never_the_same(authority: Pair) -> None:
    """Each certificate has a key and a serial number of its own; each CA a name of its own."""
    first, second = issue(authority, NAMES, NOW), issue(authority, NAMES, NOW)
    assert first.key_pem() != second.key_pem()
    assert first.certificate.serial_number != second.certificate.serial_number
    assert make_authority(NOW).certificate.subject != authority.certificate.subject


def test_an_older_ca_can_issue_as_well() -> None:
    """A CA with an RSA key, and without an identifier for it, can issue."""
    authority = bare_authority(rsa.generate_private_key(65537, 2048))
    server = issue(authority, NAMES, NOW)
    assert is_issued_by(server.certificate, authority.certificate)


def test_a_ca_is_referred_to_as_it_calls_itself() -> None:
    """A CA may have made its key identifier in another way: what it issues must refer to that very one."""
    identifier = x509.SubjectKeyIdentifier(b"its own way")
    authority = bare_authority(ec.generate_private_key(ec.SECP256R1()), identifier)
    extensions = issue(authority, NAMES, NOW).certificate.extensions
    reference = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert reference.key_identifier == identifier.digest


def test_who_issued_is_decided_by_name_and_signature(authority: Pair, server: Pair) -> None:
    """A CA has not issued what another of the same name, another name or another kind of key has."""
    namesake = bare_authority(ec.generate_private_key(ec.SECP256R1()))
    twin = bare_authority(ec.generate_private_key(ec.SECP256R1()))
    other_kind = bare_authority(rsa.generate_private_key(65537, 2048))
    issued = issue(namesake, NAMES, NOW).certificate
    assert is_issued_by(server.certificate, authority.certificate)
    assert not is_issued_by(server.certificate, namesake.certificate)
    assert not is_issued_by(issued, twin.certificate)
    assert not is_issued_by(issued, other_kind.certificate)

"""Certificates of a development CA, servers and clients, as values.

This needs no files and no clock. The extensions are those that RFC 5280 requires, so that strict verifiers
(OpenSSL with ``X509_V_FLAG_X509_STRICT``, browsers, Go) accept them.
"""

import ipaddress
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from fanline.security.tls import Name

CA_LIFETIME: Final = timedelta(days=3653)
SERVER_LIFETIME: Final = timedelta(days=397)  # browsers reject longer ones

# Machines whose clock is a little behind accept a new certificate as well.
BACKDATE: Final = timedelta(hours=1)

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class Pair(NamedTuple):
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: SigningKey

    def certificate_pem(self) -> bytes:
        """Return the certificate as a PEM file."""
        return self.certificate.public_bytes(Encoding.PEM)

    def key_pem(self) -> bytes:
        """Return the private key as a PEM file, unencrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_authority(now: datetime, names: Iterable[Name] = ()) -> Pair:
    """Create a CA that can issue server certificates, but no further CAs.

    Its certificates are valid for ``names``, and for names and addresses of private networks, alone: its key
    is of no use to impersonate other web sites to a browser that trusts this CA.

    Its name ends in the first digits of its key identifier, to tell it from others in a browser's list.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _common_name(f"Fanline development CA {identifier.digest.hex()[:8]}")
    builder = (
        _builder(key.public_key(), subject=name, issuer=name)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(now - BACKDATE + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(certificates=True), critical=True)
        .add_extension(x509.NameConstraints([*_PRIVATE, *map(_constraint, names)], None), critical=True)
    )
    return Pair(builder.sign(key, SHA256()), key)


def permits(authority: x509.Certificate, name: Name) -> bool:
    """Return whether a CA's certificates can be valid for a name."""
    try:
        constraints = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return True
    wanted = _constraint(name)
    return any(_covers(permitted, wanted) for permitted in constraints.permitted_subtrees or ())


def issue(authority: Pair, names: list[Name], now: datetime) -> Pair:
    """Issue a server certificate with a new key.

    It expires no later than its CA.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        _leaf(authority, key.public_key(), "Fanline server", now)
        .add_extension(_SERVER_AND_CLIENT, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
    )
    return Pair(builder.sign(authority.key, SHA256()), key)


def issue_client(authority: Pair, name: str, now: datetime) -> Pair:
    """Issue a user's client certificate with a new key.

    It expires no later than its CA.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _leaf(authority, key.public_key(), name, now).add_extension(
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
    )
    if "." in name:
        # Without a DNS name OpenSSL holds the common name for one, and the CA is constrained to some.
        builder = builder.add_extension(x509.SubjectAlternativeName([_NO_HOST]), critical=False)
    return Pair(builder.sign(authority.key, SHA256()), key)


def _leaf(
    authority: Pair, public_key: ec.EllipticCurvePublicKey, name: str, now: datetime
) -> x509.CertificateBuilder:
    issuer = authority.certificate
    return (
        _builder(public_key, subject=_common_name(name), issuer=issuer.subject)
        .not_valid_before(now - BACKDATE)
        .not_valid_after(min(now - BACKDATE + SERVER_LIFETIME, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(certificates=False), critical=True)
        .add_extension(_identifier_of(authority), critical=False)
    )


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether ``issuer`` has signed ``certificate`` by key and name."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):  # other name, other kind of key, other key
        return False
    return True


def _constraint(name: Name) -> Name:
    """Return the subtree of a name: a network, or a domain.

    An address becomes a network, and a wildcard the domain below it.
    """
    if isinstance(name, x509.IPAddress):
        return x509.IPAddress(ipaddress.ip_network(str(name.value)))
    return x509.DNSName(name.value.removeprefix("*."))


def _covers(permitted: x509.GeneralName, wanted: Name) -> bool:
    if isinstance(permitted, x509.DNSName) and isinstance(wanted, x509.DNSName):
        return f".{wanted.value}".endswith(f".{permitted.value}")
    match permitted.value, wanted.value:
        case (ipaddress.IPv4Network() as outer, ipaddress.IPv4Network() as inner):
            return inner.subnet_of(outer)
        case (ipaddress.IPv6Network() as outer, ipaddress.IPv6Network() as inner):
            return inner.subnet_of(outer)
    return False


# Domains that the public DNS does not have (RFC 6761, 6762, 8375, Kubernetes), and private networks.
_PRIVATE_DOMAINS: Final = ("localhost", "local", "internal", "test", "home.arpa", "lan", "svc")
_PRIVATE_NETWORKS: Final = (
    "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10",
    "::1/128", "fc00::/7", "fe80::/10",
)  # fmt: skip
_PRIVATE: Final[Sequence[Name]] = (
    *map(x509.DNSName, _PRIVATE_DOMAINS),
    *(x509.IPAddress(ipaddress.ip_network(each)) for each in _PRIVATE_NETWORKS),
)

_NO_HOST: Final = x509.DNSName("client.fanline.internal")

_SERVER_AND_CLIENT: Final = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)


def _builder(
    public_key: ec.EllipticCurvePublicKey, *, subject: x509.Name, issuer: x509.Name
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _identifier_of(authority: Pair) -> x509.AuthorityKeyIdentifier:
    """Return the reference to the CA's key.

    It is the identifier that the CA's own certificate states.
    """
    try:
        own = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except x509.ExtensionNotFound:
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key())
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)

"""Names of a certificate: which are taken, and which are refused with a sentence that helps."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.authority import make_authority
from certs.names import MAX_DNS_LENGTH, parse_names, spell
from fanline.errors import ConfigurationError
from fanline.security.tls import names_of


@pytest.mark.parametrize(
    "text",
    [
        "localhost",
        "queue.example.com",
        "*.example.com",
        "my_service",
        "a-b.c",
        "1and1.example",
        "x" * 63,
        "xn--bcher-kva.example",
        "192.0.2.7",
        "2001:db8::7",
        "::1",
    ],
)
def test_a_good_name_is_taken_as_it_is(text: str) -> None:
    """DNS names, wildcards and addresses of both families are taken."""
    assert spell(parse_names([text])) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a b",
        "localhost\n",
        "-a.example",
        "a-.example",
        "a..b",
        ".example.com",
        "example.com.",
        "*",
        "*.com",
        "a.*.com",
        "*a.example.com",
        "*.*.com",
        "bücher.example",
        "localhost:8080",
        "https://localhost",
        "[::1]",
        "10.0.0.0/8",
        "256.1.1.1",
        "1.2.3",
        "12345",
        "x" * 64,
        ".".join(["x" * 50] * 5) + ".com",
        "user@example.com",
        "a\0b",
    ],
)
def test_a_bad_name_is_refused_with_advice(text: str) -> None:
    """A text that is neither a DNS name nor an address is named in the error, with valid examples."""
    with pytest.raises(ConfigurationError) as caught:
        parse_names(["localhost", text])
    assert str(caught.value).startswith(repr(text))
    assert "queue.example.com" in str(caught.value)


def test_the_longest_name_is_taken() -> None:
    """A DNS name may have 253 characters, and no more."""
    longest = ".".join(["x" * 63] * 3 + ["x" * 61])
    assert len(longest) == MAX_DNS_LENGTH
    assert spell(parse_names([longest])) == longest
    with pytest.raises(ConfigurationError):
        parse_names([f"{longest}x"])


def test_an_address_of_one_interface_is_refused() -> None:
    """A certificate has no place for the interface of a link-local address."""
    with pytest.raises(ConfigurationError, match=r"^fe80::1%eth0: .*leave %eth0 out"):
        parse_names(["fe80::1%eth0"])


def test_names_come_once_and_in_order() -> None:
    """Spellings of the same name are one name."""
    texts = ["b.example", "a.example", "B.Example", "::1", "0:0:0:0:0:0:0:1"]
    assert spell(parse_names(texts)) == "b.example, a.example, ::1"


@given(st.ip_addresses())
def test_every_address_is_taken(address: object) -> None:
    """Any IPv4 or IPv6 address is taken, and read back as it was."""
    [name] = parse_names([str(address)])
    assert name.value == address


def test_a_certificate_without_names_has_none() -> None:
    """The common name of a certificate does not count as a name."""
    assert names_of(make_authority(datetime.now(UTC)).certificate) == []

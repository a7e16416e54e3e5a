"""Tests of which web pages may make requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fanline.server.request.origins import OriginPolicy

ALLOWED = ("https://pages.example.org", "http://localhost:3000", "https://other.example.org:443")


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "h:8082", True),
        (None, None, True),
        ("https://h:8082", "h:8082", True),
        ("https://H:8082", "h:8082", True),
        ("https://h", "h", True),
        ("https://h", "h:443", True),
        ("https://h:443", "h", True),
        ("https://[::1]:8082", "[::1]:8082", True),
        ("https://h", "h:8082", False),
        ("https://h:8081", "h:8082", False),
        ("http://h:8082", "h:8082", False),
        ("http://h", "h:80", False),
        ("https://h.evil.org:8082", "h:8082", False),
        ("https://h:8082.evil.org", "h:8082", False),
        ("h:8082", "h:8082", False),
        ("null", "h:8082", False),
        ("", "h:8082", False),
        ("", None, False),
        ("https://", "", False),
        ("https://h:8082", None, False),
        ("https://h:8082, https://h:8082", "h:8082", False),
        *((origin, "h:8082", True) for origin in ALLOWED),
        ("https://Pages.example.org", "h:8082", True),
        ("https://other.example.org", "h:8082", True),
        ("http://pages.example.org", "h:8082", False),
        ("https://pages.example.org:8082", "h:8082", False),
        ("http://localhost", "h:8082", False),
        ("http://localhost:3000", None, True),
    ],
)
def test_which_pages_are_allowed(origin: str | None, host: str | None, allowed: bool) -> None:
    """Origins of this server and those named, by scheme, host and port, and requests of no page."""
    assert OriginPolicy(ALLOWED, ["h"]).allows(origin, host) is allowed


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("live.example.org:8082", True),
        ("LIVE.example.org", True),
        ("live.example.org.", True),
        ("a.pages.example.org", True),
        ("192.0.2.7:8082", True),
        ("[2001:db8::7]:8082", True),
        ("[2001:DB8:0::7]", True),
        ("localhost:8082", True),
        ("127.0.0.1:8082", True),
        ("[::1]:8082", True),
        ("rebound.evil.example", False),
        ("rebound.evil.example:8082", False),
        ("pages.example.org", False),
        ("a.b.pages.example.org", False),
        ("localhost.evil.example", False),
        ("192.0.2.8", False),
        ("[::2]", False),
        ("[", False),
        ("live.example.org@evil.example", False),
    ],
)
def test_own_pages_have_a_name_of_the_service(host: str, allowed: bool) -> None:
    """A page whose host name was given the address of the service is not one of its own (DNS rebinding)."""
    policy = OriginPolicy((), ["live.example.org", "*.pages.example.org", "192.0.2.7", "2001:db8::7"])
    assert policy.allows(f"https://{host}", host) is allowed


@given(st.text(), st.text())
def test_no_origin_breaks_the_check(origin: str, host: str) -> None:
    """Whatever stands in the headers is compared, and allowed only if it is the same."""
    if OriginPolicy((), [host]).allows(origin, host):
        assert host.lower().removesuffix(":443") in origin.lower()

"""The content security policy of the web pages."""

from fanline.server.pages.web_page import content_security_policy


def test_a_page_may_talk_to_its_own_host_alone() -> None:
    """The policy names the WebSockets of the host that was asked, and nothing that a host cannot be."""
    assert "connect-src 'self' wss://chat.example:8083;" in content_security_policy("chat.example:8083")
    assert "connect-src 'self' wss://[::1]:8083;" in content_security_policy("[::1]:8083")
    for host in (None, "", "*", "a; script-src *", "a b", "a/b"):
        assert "connect-src 'self';" in content_security_policy(host)

"""Logins to chat, without a server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from chat.domain.errors import Refused
from chat.domain.events import LoggedEvent, Revoked
from chat.domain.person import person_of
from chat.domain.rooms import Rooms
from chat.service.login import LOGIN_RETRY_SECONDS, ChatLogins
from fanline.errors import ConfigurationError, Rejected
from fanline.security.authenticator import Unauthorized
from fanline.security.tokens import PIPELINE, Claims, TokenKey
from tests.chat.conftest import MakeSettings

MakeLogins = Callable[..., ChatLogins]

HOME, ELSEWHERE = "192.0.2.1", "192.0.2.2"


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of the logins."""
    return Clock()


@pytest.fixture
def rooms() -> Rooms:
    """The tokens that were logged out, and the names in use."""
    return Rooms()


@pytest.fixture
def make_logins(make_chat_settings: MakeSettings, clock: Clock, rooms: Rooms) -> MakeLogins:
    """Logins by settings."""

    def make(**changes: object) -> ChatLogins:
        return ChatLogins(make_chat_settings(**changes), rooms, clock=clock)

    return make


def fail(logins: ChatLogins, address: str, times: int) -> None:
    for _ in range(times):
        with pytest.raises(Refused, match="wrong-password"):
            logins.log_in("wrong", "Ada", address)


def test_a_login_is_whom_it_says(make_logins: MakeLogins) -> None:
    """The token of a login stands for its name, on every server that has the same key (line 13)."""
    here, there = make_logins(), make_logins()
    login = here.log_in("test", "Ada", HOME)
    claims = there.identify(login["token"])
    assert (claims.name, claims.expires * 1000) == ("Ada", login["expires"])
    assert there.admit(login["token"]) == claims


def test_the_password_is_that_of_the_settings(make_logins: MakeLogins, tmp_path: Path) -> None:
    """The password may be in a file; the one of the demo is then no more (line 13)."""
    (tmp_path / "password").write_text("pässword\n")
    logins = make_logins(chat_password_file=tmp_path / "password")
    assert logins.log_in("pässword", "Ada", HOME)["name"] == "Ada"
    for wrong in ("test", "", "pässword\n", "p"):
        with pytest.raises(Refused, match="wrong-password"):
            logins.log_in(wrong, "Ada", ELSEWHERE)


def test_the_password_of_the_admins_gives_their_role(make_logins: MakeLogins) -> None:
    """The password of the admins gives the role admin; no password does where none is set."""
    logins = make_logins(chat_admin_password="root")
    roles = [logins.log_in(password, "Ada", HOME)["role"] for password in ("test", "root")]
    assert roles == ["user", "admin"]
    assert person_of(logins.identify(logins.log_in("root", "Ada", HOME)["token"])).role == "admin"
    with pytest.raises(Refused, match="wrong-password"):
        make_logins().log_in("root", "Ada", HOME)
    assert make_logins(chat_admin_password="test").log_in("test", "Ada", HOME)["role"] == "user"


def test_a_name_in_use_is_refused_to_another_login(make_logins: MakeLogins, rooms: Rooms) -> None:
    """While a member is present no other person gets the name, however spelled; the same person does."""
    logins, key = make_logins(), "a" * 16
    ada = logins.log_in("test", "Ada", HOME, key)
    rooms.names.add("Ada", ada["userId"])
    assert logins.log_in("test", "Ada", HOME, key)["userId"] == ada["userId"]
    for name in ("Ada", "ADA", " ada ", "\uff21da"):
        with pytest.raises(Refused, match="Another person uses"):
            logins.log_in("test", name, HOME)
    rooms.names.remove("Ada", ada["userId"])
    assert logins.log_in("test", "ada", HOME)["name"] == "ada"


def test_an_open_server_needs_a_password(make_logins: MakeLogins) -> None:
    """On an open address chat does not start with the demo password."""
    with pytest.raises(ConfigurationError, match="FANLINE_CHAT_PASSWORD_FILE"):
        make_logins(host="0.0.0.0", users_file="users")
    assert not make_logins(host="0.0.0.0", users_file="users", chat_password="secret").guests_allowed


def test_a_name_is_needed(make_logins: MakeLogins) -> None:
    """The right password with an invalid name is refused, and is not counted as a failure."""
    logins = make_logins()
    for _ in range(10):
        with pytest.raises(Rejected):
            logins.log_in("test", "\x00", HOME)
    assert logins.log_in("test", "Ada", HOME)


def test_a_network_that_fails_often_has_to_wait(make_logins: MakeLogins, clock: Clock) -> None:
    """After one failure too many a network waits, and no other one; then it may try once more."""
    logins = make_logins()
    fail(logins, HOME, 20)
    with pytest.raises(Refused, match="Wait 3 seconds"):
        logins.log_in("test", "Ada", HOME)
    assert logins.log_in("test", "Ada", ELSEWHERE)
    clock.now += LOGIN_RETRY_SECONDS
    fail(logins, HOME, 1)
    with pytest.raises(Refused, match="too-many-failures"):
        logins.log_in("test", "Ada", HOME)
    clock.now += LOGIN_RETRY_SECONDS
    assert logins.log_in("test", "Ada", HOME)


def test_being_refused_does_not_make_it_longer(make_logins: MakeLogins, clock: Clock) -> None:
    """An attempt that is too early does not extend the wait."""
    logins = make_logins()
    fail(logins, HOME, 20)
    for _ in range(100):
        with pytest.raises(Refused, match="too-many-failures"):
            logins.log_in("test", "Ada", HOME)
    clock.now += LOGIN_RETRY_SECONDS
    assert logins.log_in("test", "Ada", HOME)


def test_a_customer_of_a_provider_is_one_network(make_logins: MakeLogins) -> None:
    """All addresses of one IPv6 network count together."""
    logins = make_logins()
    for number in range(20):
        fail(logins, f"2001:db8:0:1::{number}", 1)
    with pytest.raises(Refused, match="too-many-failures"):
        logins.log_in("test", "Ada", "2001:db8:0:1::ffff")
    assert logins.log_in("test", "Ada", "2001:db8:0:2::1")


def test_guests_are_for_loopback_or_by_leave(make_logins: MakeLogins) -> None:
    """Guests are let in where the setting says so."""
    assert make_logins().guest()["name"]
    logins = make_logins(chat_guests=False)
    with pytest.raises(Refused, match="no-guests"):
        logins.guest()
    with pytest.raises(Refused, match="needs a token"):
        logins.admit(None)
    assert make_logins().admit(None) is None


def test_tokens_that_are_not_good(make_logins: MakeLogins, rooms: Rooms, tmp_path: Path) -> None:
    """Malformed, revoked and foreign tokens are refused (line 14)."""
    logins = make_logins()
    login = logins.log_in("test", "Ada", HOME)
    other = make_logins(chat_token_key_file=tmp_path / "other.key").guest()
    pipeline = TokenKey(tmp_path / "chat-token.key").issue(Claims.new("Ada", lifetime=60), PIPELINE)
    for token in (
        None,
        "",
        "nonsense",
        "a.b.c",
        login["token"][:-4] + "AAAA",
        other["token"],
        pipeline,
        "x" * 10**6,
    ):
        with pytest.raises((Unauthorized, Refused)):
            logins.identify(token)
    claims = logins.identify(login["token"])
    rooms.apply(LoggedEvent(1, 0, "", Revoked(claims.token_id, claims.expires)))
    with pytest.raises(Refused, match="ended by a logout"):
        logins.identify(login["token"])

"""Tests of who a request comes from: a user with a password, or the bearer of a token."""

import base64
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path

import jwt
import pytest

from fanline.errors import ConfigurationError
from fanline.protocol import RevokeToken, RevokeUser
from fanline.security.authenticator import Unauthorized
from fanline.security.logins import LoginVerifier, VerifiedLogin
from fanline.security.revocations import KEEP_SECONDS, MAX_TOKEN_SECONDS, Revocations
from fanline.security.tls import ClientCertificate
from fanline.security.tokens import CHAT, PIPELINE, Claims, TokenKey
from fanline.security.users import User, UsersFile
from fanline.settings import Settings

DAY = 86_400
HERE = "192.0.2.1"
HELLO = "Basic " + base64.b64encode(b"hello:test").decode()

MakeSettings = Callable[..., Settings]


@pytest.fixture
def key(tmp_path: Path) -> TokenKey:
    """The key of the installation, where its settings look for it."""
    key = TokenKey(tmp_path / "token.key")
    key.create_if_missing()
    return key


@pytest.fixture
def logins(make_settings: MakeSettings, key: TokenKey) -> LoginVerifier:
    return LoginVerifier(make_settings(), takes_tokens=True)


async def refusal(logins: LoginVerifier, token: str, authorization: str | None = None) -> str:
    with pytest.raises(Unauthorized) as refused:
        await logins.identify(authorization, token, HERE)
    return str(refused.value)


async def test_a_password_makes_a_user_for_good(logins: LoginVerifier) -> None:
    """Without a token the header counts, and the login does not expire."""
    login = await logins.identify(HELLO, None, HERE)
    assert (login.user.name, login.expires) == ("hello", math.inf)


async def test_a_token_makes_a_user_with_just_its_rights(logins: LoginVerifier, key: TokenKey) -> None:
    """Its bearer may do what it says, until it expires, and is never a service."""
    claims = Claims("page", "1", int(time.time()) + 60, ("orders.>",), ("a", "b.*"))
    login = await logins.identify(None, key.issue(claims, PIPELINE), HERE)
    user = User("page", ("orders.>",), ("a", "b.*"))
    assert login == VerifiedLogin(user, claims.expires, "1", login.issued)
    assert not login.user.is_service


async def test_a_token_without_rights_gives_none(logins: LoginVerifier, key: TokenKey) -> None:
    """Rights not named are not granted: tokens do not have the default rights of users."""
    user = (await logins.identify(None, key.issue(Claims.new("page", lifetime=60), PIPELINE), HERE)).user
    assert not user.may_publish("orders")
    assert not user.may_subscribe("orders")


async def test_a_token_counts_for_more_than_a_password(logins: LoginVerifier, key: TokenKey) -> None:
    """A page acts as its token says, not as the login that the browser remembers; nor instead of it."""
    token = key.issue(Claims.new("page", lifetime=60), PIPELINE)
    assert (await logins.identify(HELLO, token, HERE)).user.name == "page"
    assert await refusal(logins, "", HELLO) == "the token is malformed: log in again"


async def test_a_login_of_chat_opens_nothing_here(logins: LoginVerifier, key: TokenKey) -> None:
    """A token for chat is not valid for the pipeline."""
    token = key.issue(Claims.new("page", lifetime=60, publish=[">"]), CHAT)
    assert await refusal(logins, token) == "the token is not for the pipeline"


async def test_a_token_cannot_bear_the_name_of_a_user(
    make_settings: MakeSettings, key: TokenKey, tmp_path: Path
) -> None:
    """A message from a user of the users file was sent with that user's password, and with nothing else."""
    users = UsersFile(tmp_path / "users")
    users.put(User("alice"), "secret", cost=4)
    logins = LoginVerifier(make_settings(users_file=users.path), takes_tokens=True)
    for name, good in (("alice", False), ("hello", True), ("nobody", True)):
        token = key.issue(Claims.new(name, lifetime=60, publish=[">"]), PIPELINE)
        if good:
            assert (await logins.identify(None, token, HERE)).user.name == name
        else:
            assert (
                await refusal(logins, token) == "alice is a user with a password: a token needs its own name"
            )


async def test_a_token_cannot_bear_the_name_of_the_demo(logins: LoginVerifier, key: TokenKey) -> None:
    """The one user of the demo is a user like any other."""
    assert "hello is a user" in await refusal(logins, key.issue(Claims.new("hello", lifetime=60), PIPELINE))


@pytest.mark.parametrize(
    "claims",
    [
        Claims("two words", "1", 2**31),
        Claims("", "1", 2**31),
        Claims("x" * 65, "1", 2**31),
        Claims("page", "1", 2**31, publish=("or ders",)),
        Claims("page", "1", 2**31, subscribe=("",)),
    ],
)
async def test_what_no_user_can_have_no_token_gives(
    logins: LoginVerifier, key: TokenKey, claims: Claims
) -> None:
    """A name or a pattern that is none, signed by some other program, is refused in a sentence."""
    assert "the token cannot be used" in await refusal(logins, key.issue(claims, PIPELINE))


async def test_a_key_may_come_later(
    make_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a key tokens are refused, and the log says why; passwords work, and tokens once it is there."""
    logins = LoginVerifier(make_settings(), takes_tokens=True)
    key = TokenKey(tmp_path / "token.key")
    with caplog.at_level(logging.INFO):
        assert await refusal(logins, "some.token.text") == "this service accepts no tokens at present"
    assert f"{key.path}: there is no such file" in caplog.text
    assert (await logins.identify(HELLO, None, HERE)).user.name == "hello"
    key.create_if_missing()
    token = key.issue(Claims.new("page", lifetime=60), PIPELINE)
    assert (await logins.identify(None, token, HERE)).user.name == "page"


def test_a_bad_key_is_a_mistake_where_tokens_are_taken(make_settings: MakeSettings, key: TokenKey) -> None:
    """A service does not start with a key that others can read, unless it has no use for it."""
    key.path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="set its mode to 600"):
        LoginVerifier(make_settings(), takes_tokens=True)
    LoginVerifier(make_settings(), takes_tokens=False)


@pytest.mark.parametrize("issued", [-DAY, 0, 1000 * DAY])
async def test_a_token_lives_no_longer_than_revocations(
    logins: LoginVerifier, key: TokenKey, issued: int
) -> None:
    """One that could outlive its revocation is refused, also one issued in the future (line 46)."""
    now = int(time.time())

    def token(lifetime: float) -> str:
        expires = int(now + min(issued, 0) + lifetime)
        claims = {"sub": "page", "jti": "1", "aud": PIPELINE, "iat": now + issued, "exp": expires}
        return jwt.encode(claims, key.path.read_text().strip(), "HS256")

    refused = await refusal(logins, token(MAX_TOKEN_SECONDS + 3_600))
    assert refused == "the token is valid for more than 400 days: get one that expires earlier"
    assert (await logins.identify(None, token(MAX_TOKEN_SECONDS - 60), HERE)).user.name == "page"


def test_a_revoked_token_is_known_by_its_id() -> None:
    """Others of the same name are not concerned; nor is a token without an id (line 46)."""
    revocations = Revocations()
    revocations.add(RevokeToken("a"), 100)
    assert revocations.is_revoked("page", "a", 50)
    assert not revocations.is_revoked("page", "b", 50)
    assert not revocations.is_revoked("page", "", 50)


def test_tokens_of_a_name_are_revoked_up_to_a_time() -> None:
    """Tokens issued before are refused, or that do not tell when; an earlier time takes nothing back."""
    revocations = Revocations()
    revocations.add(RevokeUser("page", 100), 200)
    revocations.add(RevokeUser("page", 50), 201)
    assert revocations.is_revoked("page", "a", 99)
    assert revocations.is_revoked("page", "a", 0)
    assert not revocations.is_revoked("page", "a", 100)
    assert not revocations.is_revoked("other", "a", 0)


def test_what_makes_no_difference_any_more_is_forgotten() -> None:
    """A revocation is kept for longer than any token lives, and then costs no memory; renewed ones stay."""
    revocations = Revocations()
    revocations.add(RevokeToken("old"), 0)
    revocations.add(RevokeUser("old", 1), 0)
    revocations.add(RevokeUser("again", 1), 0)
    revocations.add(RevokeUser("again", 2), KEEP_SECONDS)
    revocations.add(RevokeToken("new"), KEEP_SECONDS + 1)
    revocations.add(RevokeUser("new", 1), KEEP_SECONDS + 1)
    assert not revocations.is_revoked("page", "old", 0)
    assert not revocations.is_revoked("old", "x", 0)
    assert revocations.is_revoked("again", "x", 1.5)
    assert revocations.is_revoked("page", "new", 0)


@pytest.mark.parametrize(
    ("names", "seconds_left", "reason"),
    [
        ({"ann"}, 0, "the client certificate has expired: renew it"),
        ({"ann", "bob"}, 9, "has ann, bob: several are users"),
        ({"eve"}, 9, "has eve: none is a user"),
        (set(), 9, "has no name: none is a user"),
    ],
)
def test_refuses_certificates_of_no_user(
    make_settings: MakeSettings, tmp_path: Path, names: set[str], seconds_left: float, reason: str
) -> None:
    """A certificate must be of one user, and be valid when it is used, not only when TLS began (line 53)."""
    users = UsersFile(tmp_path / "users")
    for name in ("ann", "bob"):
        users.put(User(name), "secret", cost=4)
    logins = LoginVerifier(make_settings(users_file=users.path), takes_tokens=False)
    with pytest.raises(Unauthorized, match=reason):
        logins.identify_certificate(ClientCertificate(frozenset(names), 1000 + seconds_left), 1000)
    login = logins.identify_certificate(ClientCertificate(frozenset({"ann", "host.test"}), 1009), 1000)
    assert (login.user.name, login.expires, login.is_by_token) == ("ann", 1009, False)

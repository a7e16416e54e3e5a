"""Tests of tokens: what they say, who is believed, and the key that all services share."""

import json
import os
import stat
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64decode
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from fanline.errors import ConfigurationError
from fanline.security.authenticator import Unauthorized
from fanline.security.tokens import (
    CHAT,
    MIN_KEY_BYTES,
    PIPELINE,
    Claims,
    TokenKey,
    access_problem,
    find_token,
)
from fanline.settings import Settings

ME, ROOT, MINE, OTHERS = 10001, 0, 10001, 20002

SECRET = "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def key(tmp_path: Path) -> TokenKey:
    """A key whose text is known."""
    return write_key(tmp_path / "token.key", SECRET)


def write_key(path: Path, text: str, mode: int = 0o600) -> TokenKey:
    path.write_text(text)
    path.chmod(mode)
    return TokenKey(path)


def signed(secret: str = SECRET, *, algorithm: str = "HS256", **changes: Any) -> str:
    """A token made by hand; None takes a claim out."""
    now = int(time.time())
    usual = {"sub": "alice", "jti": "1", "aud": PIPELINE, "iat": now, "exp": now + 60}
    claims = {name: value for name, value in (usual | changes).items() if value is not None}
    return jwt.encode(claims, secret, algorithm)


def refusal(key: TokenKey, text: str, audience: str = PIPELINE) -> str:
    with pytest.raises(Unauthorized) as raised:
        key.verify(text, audience)
    return str(raised.value)


# What a token says


def test_a_token_says_what_it_was_issued_with(key: TokenKey) -> None:
    """Name, id, expiry and rights come back as they went in."""
    claims = Claims.new("Ann Ö", lifetime=6_000, publish=["orders.>"], subscribe=["a", "b.*"])
    assert key.verify(key.issue(claims, PIPELINE), PIPELINE) == claims
    assert abs(claims.expires - time.time() - 6_000) < 600


def test_a_token_of_no_rights_has_none(key: TokenKey) -> None:
    """Rights that are not given are not there."""
    claims = key.verify(key.issue(Claims.new("ann", lifetime=60), CHAT), CHAT)
    assert (claims.publish, claims.subscribe) == ((), ())


def test_every_token_has_an_id_of_its_own() -> None:
    """Two tokens of one name can be told apart, so that one can be revoked."""
    assert len({Claims.new("ann", lifetime=60).token_id for _ in range(1_000)}) == 1_000


def test_a_token_is_a_jwt_with_registered_claims(key: TokenKey) -> None:
    """Other programs can read it, and with the key issue their own."""
    token = key.issue(Claims("ann", "1", 2_000_000_000, publish=("a",)), CHAT)
    header, payload, _ = (part + "=" * (-len(part) % 4) for part in token.split("."))
    assert json.loads(urlsafe_b64decode(header))["alg"] == "HS256"
    said = json.loads(urlsafe_b64decode(payload))
    assert abs(said.pop("iat") - time.time()) < 60
    assert said == {"sub": "ann", "jti": "1", "aud": "chat", "exp": 2_000_000_000, "publish": ["a"]}
    assert key.verify(signed(publish=["x"]), PIPELINE).publish == ("x",)


def test_a_token_that_no_request_could_carry_is_not_issued(key: TokenKey) -> None:
    """Patterns without end are refused where the token is issued, not where it is shown."""
    claims = Claims.new("ann", lifetime=60, publish=[f"topic.{number}" for number in range(1_000)])
    with pytest.raises(ConfigurationError, match="fewer or shorter patterns"):
        key.issue(claims, PIPELINE)


# Who is believed


def test_an_expired_token_is_refused(key: TokenKey) -> None:
    """From the second of its expiry on it is good for nothing."""
    now = int(time.time())
    assert refusal(key, signed(exp=now)) == "the token has expired: log in again"
    assert key.verify(signed(exp=now + 60), PIPELINE).expires == now + 60


def test_a_token_of_another_key_is_refused(key: TokenKey) -> None:
    """A token signed by another server is refused."""
    assert refusal(key, signed(secret=SECRET[::-1])) == "the token was not issued by this server"


def test_a_changed_token_is_refused(key: TokenKey) -> None:
    """A bearer cannot change name or rights: the signature covers every character."""
    good, better = signed().split("."), signed(publish=[">"]).split(".")
    assert refusal(key, f"{good[0]}.{better[1]}.{good[2]}") == "the token was not issued by this server"


def test_a_token_is_good_for_one_audience(key: TokenKey) -> None:
    """A login of chat opens nothing in the pipeline, nor the other way round; nor is one good for both."""
    assert refusal(key, signed(aud=CHAT)) == "the token is not for the pipeline"
    assert refusal(key, signed(aud=PIPELINE), CHAT) == "the token is not for the chat"
    assert refusal(key, signed(aud=[CHAT, PIPELINE])) == "the token is not for the pipeline"


@pytest.mark.parametrize("algorithm", ["none", "HS384", "HS512"])
def test_only_one_algorithm_counts(key: TokenKey, algorithm: str) -> None:
    """A token does not choose how it is verified, let alone that it is not."""
    secret = "" if algorithm == "none" else SECRET * 2
    assert refusal(key, signed(secret, algorithm=algorithm)) == "the token is malformed: log in again"


@pytest.mark.parametrize("claim", ["sub", "jti", "aud", "iat", "exp"])
def test_no_claim_may_be_missing(key: TokenKey, claim: str) -> None:
    """A token that never expires, or that has no name or id, is refused."""
    changes: dict[str, Any] = {claim: None}
    refusal(key, signed(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": "soon"},
        {"exp": float("inf")},
        {"jti": 5},
        {"publish": ">"},
        {"publish": [1]},
        {"subscribe": {"a": 1}},
    ],
)
def test_claims_of_the_wrong_kind_are_refused(key: TokenKey, changes: dict[str, Any]) -> None:
    """A claim that is not what it should be makes the token malformed, and is no defect here."""
    assert refusal(key, signed(**changes)) == "the token is malformed: log in again"


def test_a_clock_that_is_a_little_fast_does_no_harm(key: TokenKey) -> None:
    """A token that another machine has issued a second from now is good."""
    assert key.verify(signed(iat=int(time.time()) + 5), PIPELINE).name == "alice"


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "é", "\udcff", " ", signed()[:-1] + "\n"])
def test_what_is_no_token_is_refused(key: TokenKey, text: str) -> None:
    """Anything else is malformed."""
    assert refusal(key, text) == "the token is malformed: log in again"


def test_an_enormous_token_is_not_even_decoded(key: TokenKey) -> None:
    """A token longer than any that is issued is refused, although its signature is good."""
    long = signed(padding="x" * 4_096)
    assert jwt.decode(long, SECRET, algorithms=["HS256"], audience=PIPELINE)
    assert refusal(key, long) == "the token is malformed: log in again"


@given(st.text(max_size=200) | st.lists(st.text(max_size=50), min_size=3, max_size=3).map(".".join))
def test_no_text_breaks_the_verification(text: str) -> None:
    """Whatever comes is refused."""
    with suppress(Unauthorized):
        _any_key().verify(text, PIPELINE)


@cache
def _any_key() -> TokenKey:
    """Return a key whose file is gone after it was read."""
    with tempfile.TemporaryDirectory() as folder:
        key = TokenKey(Path(folder) / "key", clock=lambda: 0)
        key.create_if_missing()
        key.check()
    return key


# Where a token is found


@pytest.mark.parametrize(
    ("authorization", "parameter", "found"),
    [
        (None, None, None),
        ("Bearer abc", None, "abc"),
        ("  bEARER   abc ", None, "abc"),
        ("Bearer", None, ""),
        ("Basic abc", None, None),
        (None, "abc", "abc"),
        (None, "", ""),
        ("Basic xyz", "abc", "abc"),
        ("Bearer xyz", "abc", "abc"),
    ],
)
def test_where_a_token_is_found(authorization: str | None, parameter: str | None, found: str | None) -> None:
    """In the header of the Bearer scheme, or in the query, which counts for more."""
    assert find_token(authorization, parameter) == found


# The key


def test_the_key_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """A new key is in a file of mode 600, has 256 random bits, and stays."""
    path = tmp_path / "new" / "token.key"
    TokenKey(path).create_if_missing()
    made = path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(urlsafe_b64decode(made.strip() + "=")) == 32
    TokenKey(path).create_if_missing()
    assert path.read_text() == made
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_processes_that_race_agree_on_one_key(tmp_path: Path) -> None:
    """Of several processes that make the key at once, the first one counts, and none sees half of it."""
    path = tmp_path / "token.key"
    program = (
        "import sys; from pathlib import Path; from fanline.security.tokens import Claims, TokenKey\n"
        "key = TokenKey(Path(sys.argv[1])); sys.stdin.read(); key.create_if_missing()\n"
        "print(key.issue(Claims('ann', '1', 2**31), 'chat').split('.')[0], key.path.read_text())"
    )
    command = [sys.executable, "-c", program, str(path)]
    racers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
        racer.stdin = None
    said = [racer.communicate()[0] for racer in racers]
    assert said[0].split()[1] == path.read_text().strip()
    assert all(one == other for one, other in pairwise(said))
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_a_key_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """Where no file can be made, one sentence says where and why."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match=r"token_key_file .*file/token\.key: cannot be made"):
        TokenKey(tmp_path / "file" / "token.key").create_if_missing()


@pytest.mark.parametrize(
    ("text", "mode", "problem"),
    [
        (SECRET, 0o604, "other users can access it; set its mode to 600, or to 640 for a group"),
        (SECRET, 0o602, "other users can access it; set its mode to 600, or to 640 for a group"),
        ("short\n" + " " * 40, 0o600, "the key has 5 bytes, and needs 32"),
        ("", 0o600, "the key has 0 bytes, and needs 32"),
        (
            f"-----BEGIN PUBLIC KEY-----\n{SECRET}\n-----END PUBLIC KEY-----\n",
            0o600,
            "does not hold a key for tokens",
        ),
    ],
)
def test_a_bad_key_is_refused(tmp_path: Path, text: str, mode: int, problem: str) -> None:
    """A key that others know, or can guess, neither passes the check at the start, nor is it used."""
    path = tmp_path / "token.key"
    uses: tuple[Callable[[TokenKey], object], ...] = (
        TokenKey.check,
        lambda key: key.verify(signed(), PIPELINE),
        lambda key: key.issue(Claims.new("ann", lifetime=60), CHAT),
    )
    for use in uses:
        with pytest.raises(ConfigurationError, match=f"token_key_file {path}: {problem}"):
            use(write_key(path, text, mode))


@pytest.mark.parametrize(
    ("mode", "owner", "group", "is_safe"),
    [
        (0o600, ME, MINE, True),
        (0o400, ME, OTHERS, True),
        (0o640, ME, MINE, True),  # made by hand for a group
        (0o640, ROOT, MINE, True),  # a mounted secret with defaultMode 0640 and fsGroup
        (0o440, ROOT, MINE, True),
        (0o444, ROOT, MINE, True),
        (0o644, ROOT, MINE, True),
        (0o644, ME, MINE, False),  # other users may be there, and its owner can change it
        (0o640, ME, OTHERS, False),
        (0o444, ROOT, OTHERS, False),
        (0o660, ROOT, MINE, False),
        (0o646, ROOT, MINE, False),
    ],
)
def test_the_group_of_the_process_may_read_the_key(mode: int, owner: int, group: int, is_safe: bool) -> None:
    """A key is safe with the modes and owners that Kubernetes gives to a mounted secret."""
    problem = access_problem(mode, owner, group, user=ME, groups={MINE})
    assert (problem is None) is is_safe


def test_an_unreadable_key_is_refused(tmp_path: Path) -> None:
    """A folder in the place of the file is named, as anything that cannot be read."""
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        TokenKey(tmp_path).check()


def test_a_key_may_come_by_a_variable(tmp_path: Path) -> None:
    """FANLINE_TOKEN_KEY takes the place of the file, which is neither read nor made (line 55)."""
    path, text = tmp_path / "token.key", "k" * MIN_KEY_BYTES
    settings = Settings.model_validate({"token_key_file": path, "token_key": text})
    key = TokenKey.from_settings(settings)
    key.create_if_missing()
    key.check()
    assert key.exists
    assert not path.exists()
    claims = Claims.new("page", lifetime=60, publish=["a"])
    path.write_text(text)
    path.chmod(0o600)
    assert TokenKey(path).verify(key.issue(claims, PIPELINE), PIPELINE) == claims
    short = TokenKey.from_settings(settings.model_copy(update={"token_key": SecretStr("short")}))
    with pytest.raises(ConfigurationError, match=r"token_key: .*32"):
        short.check()


def test_a_missing_key_is_no_mistake_until_it_is_needed(tmp_path: Path) -> None:
    """Without a key a service starts; a token cannot be verified, and the text says what makes a key."""
    key = TokenKey(tmp_path / "token.key")
    key.check()
    with pytest.raises(ConfigurationError, match=r"no such file; `.*fanline token` makes it"):
        key.verify(signed(), PIPELINE)
    os.rename(write_key(tmp_path / "other", SECRET).path, key.path)
    assert key.verify(signed(), PIPELINE).name == "alice"


def test_the_end_of_the_line_is_not_part_of_the_key(tmp_path: Path) -> None:
    """A key that was written with an editor is the one that was written without."""
    key = write_key(tmp_path / "token.key", f"{SECRET}\n")
    assert key.verify(signed(), PIPELINE).name == "alice"


def test_another_key_counts_when_its_file_has_changed(tmp_path: Path) -> None:
    """At most one look a second; a file that cannot be used is reported, and the key remains (line 53)."""
    now = [0.0]
    key, later = (TokenKey(tmp_path / "key", clock=lambda: now[0]) for _ in range(2))
    key.create_if_missing()
    mark, old = key.mark, key.issue(Claims.new("page", lifetime=60), PIPELINE)
    key.path.unlink()
    now[0] += 1
    key.look()
    assert "there is no such file" in str(key.problem)
    assert key.verify(old, PIPELINE).name == "page"
    later.create_if_missing()
    new = later.issue(Claims.new("new", lifetime=60), PIPELINE)
    with pytest.raises(Unauthorized):
        key.verify(new, PIPELINE)
    assert key.mark is mark
    now[0] += 1
    assert key.verify(new, PIPELINE).name == "new"
    assert key.problem is None
    assert key.mark is not mark
    with pytest.raises(Unauthorized):
        key.verify(old, PIPELINE)

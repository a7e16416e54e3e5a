"""Tests of users: their rights, and the two files that hold them."""

import os
import re
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fanline.errors import ConfigurationError
from fanline.files import typed
from fanline.protocol.topics import covers
from fanline.security.users import EVERY_PATTERN, User, UsersFile

CHEAP = 4
MARK = "# The rights are in users.toml."
# Of "secret"; the same in every process, because it is part of the names of tests.
HASH = "$2b$04$i7tcm7/CL/NDo.GwoZSh0eq32ATOHGQjszErx6wfOC6UDRJEdv3u6"

valid_names = st.text(min_size=1, max_size=64).filter(
    lambda name: name.isprintable() and not set(name) & {" ", ":"} and not name.startswith("#")
)
tokens = st.text(alphabet='ab$"\\é', min_size=1, max_size=3)
patterns = st.lists(st.one_of(tokens, st.just("*")), min_size=1, max_size=3).map(".".join) | st.just(">")
pattern_tuples = st.lists(patterns, max_size=3).map(tuple)
valid_users = st.builds(
    User, valid_names, publish=pattern_tuples, subscribe=pattern_tuples, is_service=st.booleans()
)


@pytest.fixture
def file(tmp_path: Path) -> UsersFile:
    return UsersFile(tmp_path / "users")


def is_password(password: str, password_hash: str) -> bool:
    return bcrypt.checkpw(password.encode(), password_hash.encode())


def mistake_in(file: UsersFile) -> str:
    with pytest.raises(ConfigurationError) as raised:
        file.read()
    return str(raised.value)


# Rights


@pytest.mark.parametrize(
    ("granted", "wanted", "allowed"),
    [
        (EVERY_PATTERN, "orders.eu", True),
        (EVERY_PATTERN, "$sys.load", False),
        (("orders.>",), "orders.eu.new", True),
        (("orders.>",), "orders", False),
        (("orders.*", "stock"), "stock", True),
        (("orders.*", "stock"), "orders.eu.new", False),
        (("$sys.>",), "$sys.load", True),
        (("*.load",), "$sys.load", False),
        ((), "orders", False),
    ],
)
def test_a_user_may_do_what_a_pattern_covers(granted: tuple[str, ...], wanted: str, allowed: bool) -> None:
    """Publishing and subscribing follow the patterns, and wildcards do not reach system topics."""
    assert User("alice", publish=granted).may_publish(wanted) is allowed
    assert User("alice", subscribe=granted).may_subscribe(wanted) is allowed


def test_publishing_and_subscribing_are_separate_rights() -> None:
    """The right to publish to a topic does not include the right to subscribe to it, nor the reverse."""
    user = User("alice", publish=("in",), subscribe=("out",))
    assert (user.may_publish("in"), user.may_subscribe("in")) == (True, False)
    assert (user.may_publish("out"), user.may_subscribe("out")) == (False, True)


def test_a_subscription_must_be_covered_as_a_whole() -> None:
    """A wildcard that reaches beyond the granted patterns is refused."""
    user = User("alice", subscribe=("orders.*",))
    assert user.may_subscribe("orders.*")
    assert not user.may_subscribe("orders.>")
    assert not user.may_subscribe("*.eu")


def test_a_service_reaches_system_topics_by_default() -> None:
    """`>` is everything for a service; a service held to some topics is held to them here too."""
    assert User("edge", is_service=True).may_publish("$sys.load")
    assert User("edge", is_service=True).may_subscribe("$sys.>")
    assert not User("edge", ("orders.>",), is_service=True).may_publish("$sys.load")


@given(granted=pattern_tuples, is_service=st.booleans(), wanted=patterns)
def test_rights_are_the_union_of_the_patterns(
    granted: tuple[str, ...], is_service: bool, wanted: str
) -> None:
    """The cached answer is that of the patterns, whatever was asked before."""
    expected = (is_service and ">" in granted) or any(covers(each, wanted) for each in granted)
    user = User("alice", publish=granted, is_service=is_service)
    assert [user.may_publish(wanted), user.may_publish(wanted)] == [expected, expected]


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "a b", "a:b", "a\tb", "a\n", "\x00", "\x7f", "#a", "a\u2028b", "\udcff"]
)
def test_a_name_that_cannot_stand_in_the_file_is_refused(name: str) -> None:
    """A user name is printable, 1 to 64 characters, without whitespace, colon or leading #."""
    with pytest.raises(ConfigurationError, match="user name"):
        User(name)


@pytest.mark.parametrize("key", ["publish", "subscribe"])
def test_a_wrong_pattern_is_refused_by_the_name_of_the_right(key: str) -> None:
    """The error says which right has the pattern, and what is wrong with it."""
    with pytest.raises(ConfigurationError, match=rf'{key}: "a b" is not a topic: it has whitespace'):
        User("alice", **{key: ("ok", "a b")})  # type: ignore[arg-type]


# Reading


def test_reading_gives_the_accounts_in_order_with_their_rights(file: UsersFile) -> None:
    """All three spellings of bcrypt are taken; blank lines and comments are not users."""
    spellings = [HASH.replace("$2b$", prefix) for prefix in ("$2y$", "$2b$", "$2a$")]
    lines = [
        "# the shop",
        "",
        f"zoe:{spellings[0]}",
        f"  alice:{spellings[1]}  ",
        "\t",
        f"bob:{spellings[2]}",
    ]
    file.path.write_text("\r\n".join(lines))
    file.rights_path.write_text(
        '[zoe]\n[alice]\nsubscribe = ["orders.*"]\nrole = "service"\n[bob]\npublish = []\n'
    )
    accounts = file.read()
    assert [account.user for account in accounts.values()] == [
        User("zoe"),
        User("alice", subscribe=("orders.*",), is_service=True),
        User("bob", publish=()),
    ]
    assert list(accounts) == ["zoe", "alice", "bob"]
    assert all(is_password("secret", account.password_hash) for account in accounts.values())


def test_an_account_does_not_show_its_hash(file: UsersFile) -> None:
    """The representation of an account, which may be logged, has no hash."""
    file.put(User("alice"), "secret", cost=CHEAP)
    assert "$2" not in repr(file.read())


def test_a_missing_users_file_says_how_to_make_it(file: UsersFile) -> None:
    """The error names the file and the command."""
    assert (
        mistake_in(file) == f"{file.path}: there is no such file; `{typed('fanline')} user add NAME` makes it"
    )


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("alice", "expected NAME:HASH"),
        ("alice:", "expected NAME:HASH"),
        (f":{HASH}", "a user name has 1 to 64 characters"),
        (f"a b:{HASH}", "'a b' is not a user name"),
        (f"zoe:{HASH}", "there is a line for zoe above already"),
        ("alice:hunter2", "the hash of alice is not one of bcrypt"),
        ("alice:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00", "the hash of alice is not one of bcrypt"),
        ("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", "the hash of alice is not one of bcrypt"),
        (f"alice:{HASH.replace('$2b$', '$2x$')}", "the hash of alice is not one of bcrypt"),
        (f"alice:{HASH.replace('$04$', '$03$')}", "the hash of alice is not one of bcrypt"),
        (f"alice:{HASH[:28]}z{HASH[29:]}", "the hash of alice is not one of bcrypt"),
        (f"alice:{HASH[:-1]}", "the hash of alice is not one of bcrypt"),
        (f"alice:{HASH}:more", "the hash of alice is not one of bcrypt"),
    ],
)
def test_a_wrong_line_is_named_by_file_and_number(file: UsersFile, line: str, problem: str) -> None:
    """The error says which line, and never shows what stands after the colon: it may be a password."""
    file.path.write_text(f"# first\nzoe:{HASH}\n{line}\n")
    mistake = mistake_in(file)
    assert mistake.startswith(f"{file.path}, line 3: {problem}")
    assert "hunter2" not in mistake
    assert "$" not in mistake


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ("[alice]\npubish = []", "[alice]: pubish: no such key; there are publish, subscribe and role"),
        ('[alice]\npublish = "orders"', "[alice]: publish: expected a list such as"),
        ("[alice]\nsubscribe = [1]", "[alice]: subscribe: expected a list such as"),
        ('[alice]\nsubscribe = ["a..b"]', '[alice]: subscribe: "a..b" is not a topic: it has an empty token'),
        ('[alice]\nrole = "boss"', '[alice]: role: expected "user", "service" or "admin", got \'boss\''),
        ("[alice]\nrole = []", '[alice]: role: expected "user", "service" or "admin", got []'),
        ("alice = 1", "[alice]: expected a table, got 1"),
        ('["a b"]', "[a b]: 'a b' is not a user name"),
        ("[alice", "Expected ']'"),
    ],
)
def test_a_wrong_right_is_named_by_file_user_and_key(file: UsersFile, toml: str, problem: str) -> None:
    """The error says where the mistake is and what was expected."""
    file.path.write_text(f"alice:{HASH}\n")
    file.rights_path.write_text(toml)
    assert mistake_in(file).startswith(f"{file.rights_path}: {problem}")


@pytest.mark.parametrize("which", ["path", "rights_path"])
def test_a_file_that_cannot_be_read_is_named(file: UsersFile, which: str) -> None:
    """A folder in place of a file, or bytes that are not text, end in a sentence."""
    file.path.write_text(f"alice:{HASH}\n")
    path: Path = getattr(file, which)
    path.write_bytes(b"# \xff\n")
    assert mistake_in(file) == f"{path}: is not UTF-8 text at byte 2"
    path.unlink()
    path.mkdir()
    assert mistake_in(file) == f"{path}: cannot be read: is a directory"


# Editing


@settings(max_examples=25)
@given(users=st.lists(valid_users, max_size=4, unique_by=lambda user: user.name))
def test_what_is_put_is_read_back(users: list[User]) -> None:
    """Any valid user survives the way through both files, and passwords belong to their users."""
    with tempfile.TemporaryDirectory() as folder:
        file = UsersFile(Path(folder) / "users")
        for user in users:
            file.put(user, f"of {user.name}", cost=CHEAP)
        accounts = file.read(missing_ok=True)
        assert [account.user for account in accounts.values()] == users
        for user in users:
            assert is_password(f"of {user.name}", accounts[user.name].password_hash)
            file.remove(user.name)
        assert not file.read(missing_ok=True)


def test_edits_keep_comments_blank_lines_and_order(file: UsersFile) -> None:
    """Only the line of the user in question changes; a new one comes last, the mark of the rights first."""
    before = f"\n# alice: left\n\nzoe:{HASH}\n  alice:{HASH}\n# end"
    file.path.write_text(before)
    file.put(User("alice"), "new", cost=CHEAP)
    file.put(User("bob"), "new", cost=CHEAP)
    lines = [re.sub(r"\$.*", "…", line) for line in file.path.read_text().split("\n")]
    assert lines == [MARK, "", "# alice: left", "", "zoe:…", "alice:…", "# end", "bob:…", ""]
    assert f"zoe:{HASH}\n" in file.path.read_text()
    file.remove("alice")
    file.remove("bob")
    assert file.path.read_text() == f"{MARK}\n\n# alice: left\n\nzoe:{HASH}\n# end\n"


def test_rights_that_do_not_change_are_not_written(file: UsersFile) -> None:
    """A new password leaves the comments of the rights file alone."""
    by_hand = "# by hand\n[alice]\npublish = [] # nothing yet\n"
    file.put(User("alice", publish=()), "secret", cost=CHEAP)
    file.rights_path.write_text(by_hand)
    file.put(User("alice", publish=()), "changed", cost=CHEAP)
    assert file.rights_path.read_text() == by_hand


def test_removing_a_user_removes_a_table_that_says_nothing(file: UsersFile) -> None:
    """A rights table with the defaults goes with its user, so that the files stay valid."""
    file.put(User("alice"), "secret", cost=CHEAP)
    file.put(User("bob", is_service=True), "secret", cost=CHEAP)
    file.rights_path.write_text('[alice]\nrole = "user"\n[bob]\nrole = "service"\n')
    file.remove("alice")
    assert [account.user for account in file.read().values()] == [User("bob", is_service=True)]


def test_files_are_for_their_owner_only(file: UsersFile) -> None:
    """Both files get mode 600, also where they were open to others; their owner stays."""
    owner = 12345 if os.geteuid() == 0 else os.geteuid()
    file.put(User("zoe", is_service=True), "secret", cost=CHEAP)
    for path in (file.path, file.rights_path):
        path.chmod(0o644)
        os.chown(path, owner, -1)
    file.put(User("alice", is_service=True), "secret", cost=CHEAP)
    for path in (file.path, file.rights_path):
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, owner)


def test_a_link_to_the_users_file_stays_a_link(tmp_path: Path) -> None:
    """The target of the link is replaced, not the link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "users").write_text("# real\n")
    link = tmp_path / "users"
    link.symlink_to(tmp_path / "real" / "users")
    UsersFile(link).put(User("alice"), "secret", cost=CHEAP)
    assert link.is_symlink()
    assert (tmp_path / "real" / "users").read_text().startswith(f"{MARK}\n# real\nalice:$2b$")


def test_the_folder_is_made(tmp_path: Path) -> None:
    """The first user of a new installation needs no preparation."""
    file = UsersFile(tmp_path / "a" / "b" / "users")
    file.put(User("alice"), "secret", cost=CHEAP)
    assert list(file.read()) == ["alice"]


def test_a_write_that_fails_leaves_the_old_file(file: UsersFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file stays whole, no other file is left, and the error is a sentence."""
    file.put(User("alice"), "secret", cost=CHEAP)
    before = file.path.read_text()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigurationError, match="cannot be edited: no space left on device"):
        file.put(User("bob"), "secret", cost=CHEAP)
    assert file.path.read_text() == before
    assert sorted(os.listdir(file.path.parent)) == ["users", "users.toml"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A file in the way of the folder ends in a sentence."""
    (tmp_path / "var").write_text("")
    path = tmp_path / "var" / "users"
    with pytest.raises(ConfigurationError, match=f"{path}: cannot be edited: "):
        UsersFile(path).put(User("alice"), "secret", cost=CHEAP)


def test_a_file_with_a_mistake_is_not_edited(file: UsersFile) -> None:
    """An edit never builds on what it cannot read."""
    file.path.write_text("alice:plain\n")
    with pytest.raises(ConfigurationError, match="line 1"):
        file.put(User("bob"), "secret", cost=CHEAP)
    with pytest.raises(ConfigurationError, match="line 1"):
        file.remove("alice")
    assert file.path.read_text() == "alice:plain\n"


def test_concurrent_edits_lose_no_user(file: UsersFile) -> None:
    """Each of many concurrent edits finds what the others have written."""
    names = [f"user{number}" for number in range(16)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: file.put(User(name, publish=(name,)), "x", cost=CHEAP), names))
    assert {account.user for account in file.read().values()} == {User(n, publish=(n,)) for n in names}


@pytest.mark.parametrize("name", ["bob", "", "# the shop", "alice\n"])
def test_only_a_user_can_be_removed(file: UsersFile, name: str) -> None:
    """Removing an unknown user is an error, and nothing else in the file can be removed as a user."""
    text = f"# the shop\n\nalice:{HASH}\n"
    file.path.write_text(text)
    with pytest.raises(ConfigurationError, match="there is no user"):
        file.remove(name)
    assert file.path.read_text() == text


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", "the password is empty"),
        ("pw\0pw", "null character"),
        ("é" * 36 + "x", "the password has 73 bytes, and bcrypt takes 72"),
    ],
)
def test_a_password_that_bcrypt_cannot_hold_is_refused(file: UsersFile, password: str, problem: str) -> None:
    """The error says what is wrong with the password, and nothing is written."""
    with pytest.raises(ConfigurationError, match=problem):
        file.put(User("alice"), password, cost=CHEAP)
    assert not file.path.exists()


def test_the_longest_password_is_taken(file: UsersFile) -> None:
    """72 bytes of UTF-8 are hashed as they are."""
    file.put(User("alice"), "é" * 36, cost=CHEAP)
    assert is_password("é" * 36, file.read()["alice"].password_hash)


def test_every_edit_changes_the_version(file: UsersFile) -> None:
    """The version tells each edit of either file, and stays while nothing happens."""
    versions = [file.version()]
    for edit in (
        lambda: file.put(User("alice"), "secret", cost=CHEAP),
        lambda: file.put(User("alice"), "secret", cost=CHEAP),
        lambda: file.rights_path.write_text('[alice]\nrole = "user"\n'),
        lambda: file.rights_path.write_text(""),
        lambda: file.remove("alice"),
    ):
        edit()
        assert file.version() == file.version()
        versions.append(file.version())
    assert all(versions[i] != versions[i + 1] for i in range(len(versions) - 1))

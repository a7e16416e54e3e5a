"""Tests of which tokens are revoked."""

from fanline.protocol import RevokeToken, RevokeUser
from fanline.security.revocations import KEEP_SECONDS, Revocations


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

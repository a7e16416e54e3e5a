"""Who is dead, by the log alone."""

from hypothesis import given
from hypothesis import strategies as st

from chat.domain.server_liveness import PATIENCE, Presence


def test_silence_is_death() -> None:
    """A server without a sign of life between several beats of one's own is dead (line 27)."""
    presence = Presence("own")
    for _ in range(PATIENCE - 1):
        assert presence.beat({"own", "other"}) == []
    assert presence.beat({"own", "other"}) == ["other"]
    assert presence.beat({"own", "other"}) == ["other"]


def test_a_sign_of_life_begins_anew() -> None:
    """Any sign of life counts for as long as silence takes to be death."""
    presence = Presence("own")
    for _ in range(PATIENCE - 1):
        presence.beat({"other"})
    presence.sign("other")
    for _ in range(PATIENCE - 1):
        assert presence.beat({"other"}) == []
    assert presence.beat({"other"}) == ["other"]


def test_who_has_no_members_does_not_die() -> None:
    """Of a server without members nobody need be told that it is gone, and nothing is kept of it."""
    presence = Presence("own")
    presence.sign("other")
    for _ in range(2 * PATIENCE):
        assert presence.beat({"own"}) == []
    assert not presence._silence


def test_alone_until_another_is_heard() -> None:
    """A server is alone until it hears of another one, and again when that has been silent for long."""
    presence = Presence("own")
    presence.sign("own")
    assert presence.beat({"own"}) == []
    assert presence.is_alone
    for _ in range(2):
        presence.sign("other")
        for _ in range(PATIENCE):
            assert not presence.is_alone
            presence.beat({"own"})
        assert presence.is_alone


def test_alone_with_the_dead() -> None:
    """Who is dead is no company, also while its members have not been seen to leave."""
    presence = Presence("own")
    for _ in range(PATIENCE):
        dead = presence.beat({"other"})
        assert presence.is_alone == bool(dead)
    assert dead == ["other"]


@given(st.lists(st.sampled_from(["own", "a", "b"])))
def test_equal_beats_keep_everybody_alive(order: list[str]) -> None:
    """Servers that beat as often as oneself, give or take one, are never taken for dead."""
    presence = Presence("own")
    beats = dict.fromkeys(("own", "a", "b"), 0)
    for server in order:
        if beats[server] > min(beats.values()):
            continue
        beats[server] += 1
        if server == "own":
            assert presence.beat({"own", "a", "b"}) == []
        else:
            presence.sign(server)

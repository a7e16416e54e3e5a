"""Detection of dead servers."""

from hypothesis import given
from hypothesis import strategies as st

from fanline.presence.liveness import BEAT_INTERVAL, MISSED_BEATS, ServerLiveness


def test_a_dead_server_is_noticed_within_15_seconds() -> None:
    """The beats that are missed, and the one that was just before the silence, take no longer (line 27)."""
    assert (MISSED_BEATS + 1) * BEAT_INTERVAL <= 15


def test_a_silent_server_is_dead() -> None:
    """A server without a sign of life between several beats of one's own is dead (line 27)."""
    liveness = ServerLiveness("own")
    for _ in range(MISSED_BEATS - 1):
        assert liveness.record_own_beat({"own", "other"}) == []
    assert liveness.record_own_beat({"own", "other"}) == ["other"]
    assert liveness.record_own_beat({"own", "other"}) == ["other"]


def test_a_sign_of_life_resets_the_count() -> None:
    """Any sign of life counts for as long as silence takes to be death."""
    liveness = ServerLiveness("own")
    for _ in range(MISSED_BEATS - 1):
        liveness.record_own_beat({"other"})
    liveness.record_sign("other")
    for _ in range(MISSED_BEATS - 1):
        assert liveness.record_own_beat({"other"}) == []
    assert liveness.record_own_beat({"other"}) == ["other"]


def test_a_server_without_members_is_not_reported() -> None:
    """A server without members is not reported, and nothing is kept of it."""
    liveness = ServerLiveness("own")
    liveness.record_sign("other")
    for _ in range(2 * MISSED_BEATS):
        assert liveness.record_own_beat({"own"}) == []
    assert not liveness.silence


def test_alone_until_another_is_heard() -> None:
    """A server is alone until it hears of another one, and again when that has been silent for long."""
    liveness = ServerLiveness("own")
    liveness.record_sign("own")
    assert liveness.record_own_beat({"own"}) == []
    assert liveness.is_alone
    for _ in range(2):
        liveness.record_sign("other")
        for _ in range(MISSED_BEATS):
            assert not liveness.is_alone
            liveness.record_own_beat({"own"})
        assert liveness.is_alone


def test_alone_with_the_dead() -> None:
    """A dead server does not count as another one, even while it has members."""
    liveness = ServerLiveness("own")
    for _ in range(MISSED_BEATS):
        dead = liveness.record_own_beat({"other"})
        assert liveness.is_alone == bool(dead)
    assert dead == ["other"]


@given(st.lists(st.sampled_from(["own", "a", "b"])))
def test_equal_beats_keep_all_servers_alive(order: list[str]) -> None:
    """Servers that beat as often as oneself, give or take one, are never taken for dead."""
    liveness = ServerLiveness("own")
    beats = dict.fromkeys(("own", "a", "b"), 0)
    for server in order:
        if beats[server] > min(beats.values()):
            continue
        beats[server] += 1
        if server == "own":
            assert liveness.record_own_beat({"own", "a", "b"}) == []
        else:
            liveness.record_sign(server)

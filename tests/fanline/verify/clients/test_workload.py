"""The messages of ``fanline verify``, and how they are recognized."""

import pytest

from fanline.protocol.topics import is_pattern, is_topic, matches
from fanline.verify.clients.workload import Workload
from fanline.verify.verdict.observations import UNKNOWN, Sent, key_of, split_key

PUBLISHERS = 7


@pytest.fixture
def workload() -> Workload:
    return Workload("token", PUBLISHERS)


def test_every_message_is_told_again(workload: Workload) -> None:
    """Of any size and any sender; the topics are those recorded by its publisher."""
    sizes = set()
    for publisher in range(PUBLISHERS):
        sent = Sent("p", workload.topics(publisher), patience=1)
        for number in range(600):
            content = workload.content(publisher, number)
            sizes.add(len(content))
            assert workload.identify(sent.topic(number), content) == key_of(publisher, number)
    assert max(sizes) > 2 * 16_384 > 2_000 > min(sizes)


@pytest.mark.parametrize(
    ("topic", "content"),
    [
        pytest.param("verify.token.b.y", b'{"by":0,"n":0,"pad":""}', id="on another topic"),
        pytest.param("verify.token.a", b'{"by":0,"n":0,"pad":"0"}', id="with other content"),
        pytest.param("verify.token.a", b'{"by":0, "n":0,"pad":""}', id="spelled another way"),
        pytest.param("verify.token.a", b'{"by":6,"n":0}', id="cut short"),
        pytest.param("verify.token.b.x", b'{"by":7,"n":0,"pad":""}', id="from nobody"),
        pytest.param("verify.token.a", b'{"by":0,"n":-6,"pad":""}', id="with no number"),
        pytest.param("verify.token.a", b"[", id="no JSON"),
    ],
)
def test_anything_else_is_not_known(workload: Workload, topic: str, content: bytes) -> None:
    """A message that differs anywhere from what was sent is none of ours."""
    assert workload.identify("verify.token.a", b'{"by":0,"n":0,"pad":""}') == key_of(0, 0)
    assert workload.identify(topic, content) == UNKNOWN


def test_the_grammar_is_kept(workload: Workload) -> None:
    """Topics and patterns are valid, every topic has a subscriber, and the root itself is none of them."""
    assert all(is_topic(topic) for topic in workload.topics(0))
    patterns = [pattern for patterns in workload.subscriptions for pattern in patterns]
    assert all(is_pattern(pattern) for pattern in patterns)
    assert all(any(matches(pattern, topic) for pattern in patterns[1:-1]) for topic in workload.topics(3))
    assert not matches(workload.everything, workload.root)


def test_keys_are_taken_apart_again() -> None:
    """Publisher and number, also large ones."""
    assert split_key(key_of(99, 2**40 - 1)) == (99, 2**40 - 1)

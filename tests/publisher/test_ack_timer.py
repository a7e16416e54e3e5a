"""How long messages wait for their acks."""

from prometheus_client import CollectorRegistry

from fanline.protocol import Ack, Refusal
from publisher.ack_timer import AckTimer
from publisher.ordered_replies import OrderedReplies


class Replies(OrderedReplies):
    def on_settled(self) -> None:
        """Send nothing."""


def test_one_message_at_a_time_is_measured() -> None:
    """Others pass, a refusal is no ack, and the next message after either is measured (line 56)."""
    now, replies, registry = [10.0], Replies(), CollectorRegistry()
    timer = AckTimer(registry, clock=lambda: now[0])

    def measured() -> tuple[float | None, float | None]:
        name = "fanline_ack_seconds"
        return registry.get_sample_value(f"{name}_count"), registry.get_sample_value(f"{name}_sum")

    first, second, third = (replies.open() for _ in range(3))
    timer.begin(None)
    timer.begin(first)
    now[0] += 1
    timer.begin(second)
    timer.look()
    second.settle(Ack("b", 2))
    timer.look()
    assert measured() == (0, 0)
    now[0] += 1
    first.settle(Ack("a", 1))
    timer.look()
    assert measured() == (1, 2)
    timer.begin(third)
    third.settle(Refusal("forbidden", "no"))
    timer.look()
    assert measured() == (1, 2)
    timer.note(began=7)
    assert measured() == (2, 7)

"""Limits for the guessing of passwords."""

from hypothesis import given
from hypothesis import strategies as st

from fanline.security.guesses import GuessLimiter, TokenBuckets, network

HERE, THERE = "192.0.2.1", "198.51.100.2"


def guess(limiter: GuessLimiter, address: str, now: float) -> bool:
    """Guess if that is allowed, and return whether it is."""
    is_allowed = limiter.may_guess(address, now)
    if is_allowed:
        limiter.count(address, now)
    return is_allowed


def test_one_who_mistypes_occasionally_is_never_refused() -> None:
    """A guess in 3 s is within the limit, for any time."""
    limiter = GuessLimiter()
    assert all(guess(limiter, HERE, 3.0 * number) for number in range(1_000))


def test_many_addresses_of_one_network_are_limited_together() -> None:
    """10,001 networks of one IPv6 /48 evicted the table: 150,015 guesses, and none was refused."""
    limiter = GuessLimiter()
    allowed = sum(
        guess(limiter, f"2001:db8:7:{number:x}::1", 0.0) for _ in range(3) for number in range(10_001)
    )
    assert allowed == 100
    assert not guess(limiter, "2001:db8:7::1", 0.0)
    assert guess(limiter, "2001:db8:8::1", 0.0)
    assert guess(limiter, THERE, 0.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.booleans()), max_size=40))
def test_a_bucket_holds_what_it_should(steps: list[tuple[float, bool]]) -> None:
    """Whatever happens, there are never more tokens than fit, and after enough time it is full again."""
    buckets, now = TokenBuckets(5, 50.0), 0.0
    for pause, is_given_back in steps:
        now += pause
        buckets.take("a", now)
        if is_given_back:
            buckets.give_back("a")
    now += 50.001
    taken = 0
    while buckets.has_token("a", now):
        buckets.take("a", now)
        taken += 1
    assert taken == 5


def test_the_keys_are_bounded() -> None:
    """The one that was used least recently is forgotten."""
    buckets = TokenBuckets(1, 50.0, max_keys=3)
    for key in "abcad":
        buckets.take(key, 0.0)
    assert len(buckets) == 3
    assert [key for key in "abcd" if buckets.has_token(key, 0.0)] == ["b"]


def test_networks() -> None:
    """Each text that is no address is a network of its own."""
    assert network("2001:db8:0:1:ffff::2") == "2001:db8:0:1::/64"
    assert network("::ffff:192.0.2.1") == network("192.0.2.1") == "192.0.2.1/32"
    assert network("192.0.2.1", 24) == "192.0.2.0/24"
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("") == ""

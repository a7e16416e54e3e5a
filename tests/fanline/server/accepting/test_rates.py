"""Tests of the rates of users and addresses."""

from fanline.security.users import User
from fanline.server import ClientRates

ALICE, BOB, CAROL, ROBOT = User("alice"), User("bob"), User("carol"), User("robot", is_service=True)


def test_users_of_one_address_share_a_rate() -> None:
    """A user, then an address (in IPv6 a /64) is refused; services and other addresses are not (line 47)."""
    rates = ClientRates([1], [2])
    assert rates.admit(ALICE, "2001:db8::1", 1_000) is None
    by_user, by_address = rates.admit(ALICE, "2001:db8:1::1", 1), rates.admit(BOB, "2001:db8::2", 1)
    assert by_user is not None
    assert by_address is not None
    assert (by_user.whose, by_address.whose) == ("user", "address")
    assert 450 < by_address.seconds < 500 < by_user.seconds < 1_000
    assert rates.admit(BOB, "2001:db8:1::1", 1) is None
    assert rates.admit(ROBOT, "2001:db8::1", 1_000) is None


def test_charges_user_and_address() -> None:
    """A client that cannot be told waits for the rate of its user and that of its address (line 47)."""
    rates = ClientRates([100], [2])
    assert 400 < rates.charge(ALICE, "192.0.2.1", 1_000) < 500
    assert 400 < rates.charge(BOB, "192.0.2.1", 1) < 500
    assert rates.charge(BOB, "192.0.2.2", 1) == 0
    assert rates.charge(ROBOT, "192.0.2.1", 1_000) == 0


def test_what_is_refused_is_not_charged() -> None:
    """A request that its address may not make costs its user nothing, and the reverse (line 47)."""
    rates = ClientRates([1], [1])
    assert rates.admit(ALICE, "192.0.2.1", 1_000) is None
    for _ in range(10):
        assert rates.admit(BOB, "192.0.2.1", 1_000) is not None
        assert rates.admit(ALICE, "192.0.2.2", 1_000) is not None
    assert rates.admit(BOB, "192.0.2.2", 1_000) is None
    rates.change([1], [2])
    assert rates.admit(CAROL, "192.0.2.1", 1) is None

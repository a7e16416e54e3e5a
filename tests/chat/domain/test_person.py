"""Persons, by the claims of their tokens."""

from chat.domain.person import NamesInUse, Person, Role, guest_at, person_of, user_id_from
from fanline.security.tokens import Claims


def test_the_token_names_the_person() -> None:
    """Id and role are those of the token; a guest without one is who asks from the same network."""
    claims = Claims("Ada", "t1", 0, user_id="u1", role="admin")
    assert person_of(claims) == Person("u1", "Ada", Role.ADMIN)
    home, elsewhere = guest_at("192.0.2.1"), guest_at("192.0.2.2")
    assert home == guest_at("192.0.2.1") != elsewhere
    assert home.role == Role.GUEST


def test_a_token_without_an_id_is_a_person_of_its_own() -> None:
    """A token that an older version issued is a user, whose id does not show the token's."""
    one, two = (person_of(Claims("Ada", token_id, 0)) for token_id in ("t1", "t2"))
    assert (one.id, one.role) == (user_id_from("t1"), Role.USER)
    assert one.id != two.id
    assert "t1" not in one.id


def test_a_name_is_taken_while_another_person_uses_it() -> None:
    """A name is taken from its first member to its last, for all but the person, however it is spelled."""
    names = NamesInUse()
    names.add("Ada  L", "u1")
    names.add("ada l", "u1")
    names.remove("ADA L", "u1")
    assert names.is_taken("Ada L", "u2")
    assert not names.is_taken("Ada L", "u1")
    assert not names.is_taken("Ben", "u2")
    names.remove("Ada L", "u1")
    assert not names.is_taken("Ada L", "u2")

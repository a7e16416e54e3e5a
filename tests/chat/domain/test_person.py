"""Persons, by the claims of their tokens."""

from chat.domain.person import Person, Role, person_of, user_id_from
from fanline.security.tokens import Claims


def test_the_token_names_the_person() -> None:
    """Id and role are those of the token; a guest without one has no id."""
    claims = Claims("Ada", "t1", 0, user_id="u1", role="admin")
    assert person_of(claims) == Person("u1", "Ada", Role.ADMIN)
    assert person_of(None).id == ""
    assert person_of(None).role == Role.GUEST


def test_a_token_without_an_id_is_a_person_of_its_own() -> None:
    """A token that an older version issued is a user, whose id does not show the token's."""
    one, two = (person_of(Claims("Ada", token_id, 0)) for token_id in ("t1", "t2"))
    assert (one.id, one.role) == (user_id_from("t1"), Role.USER)
    assert one.id != two.id
    assert "t1" not in one.id

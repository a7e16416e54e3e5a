"""Names, ids and texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.domain.events import room_topic
from chat.domain.names import (
    is_room_id,
    new_room_id,
    random_name,
    require_name,
    require_room_id,
    require_text,
)
from fanline.errors import Rejected
from fanline.protocol.topics import is_topic


def test_random_names_have_two_words() -> None:
    """A random name is a valid name of two words."""
    names = {random_name() for _ in range(100)}
    assert all(len(name.split()) == 2 and require_name(name) == name for name in names)
    assert len(names) > 50


def test_random_ids_can_be_used() -> None:
    """A random id is one, and never the same again (line 20)."""
    assert is_room_id(new_room_id())
    assert new_room_id() != new_room_id()


@pytest.mark.parametrize("room", ["a", "A-b_9", "x" * 64, "a/b", "a.b", "a b", "*", "\u00e9", "\u5de5" * 53])
def test_good_room_ids(room: str) -> None:
    """Any characters make an id, which can be part of a topic (line 20)."""
    require_room_id(room)
    assert is_topic(room_topic(room))


@pytest.mark.parametrize("room", ["", "x" * 65, "\ud800", "\u5de5" * 54, "a\n"])
def test_bad_room_ids(room: str) -> None:
    """An empty or long id is refused, and what is no text (line 20)."""
    with pytest.raises(Rejected, match="1 to 64") as caught:
        require_room_id(room)
    assert caught.value.code == "bad-room"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Ada", "Ada"),
        ("  Ada Lovelace ", "Ada Lovelace"),
        ("<b>&", "<b>&"),
        ("e\N{COMBINING ACUTE ACCENT}", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        ("\N{GRINNING FACE}", "\N{GRINNING FACE}"),
        ("x" * 64, "x" * 64),
    ],
)
def test_good_names(text: str, name: str) -> None:
    """A name is kept in NFC, without the space around it."""
    assert require_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "x" * 65,
        "a\nb",
        "a\x00b",
        "a\x7fb",
        "a\u202eb",
        "a\u200bb",
        "a\u2028b",
        "a\ud800b",
        "a\u2029b",
        "\u3164",
        "You",
        " y\uff4fU ",
    ],
    ids=ascii,
)
def test_bad_names(text: str) -> None:
    """A name is neither empty, long nor reserved, and has nothing in it that cannot be seen."""
    with pytest.raises(Rejected) as caught:
        require_name(text)
    assert caught.value.code == "bad-name"


@given(st.text())
def test_a_name_stays_as_it_is(text: str) -> None:
    """The normalized form of a name is a valid name, and stays as it is."""
    try:
        name = require_name(text)
    except Rejected:
        return
    assert require_name(name) == name


@pytest.mark.parametrize("text", ["x", "two\nlines", " x ", "\N{GRINNING FACE}" * 4])
def test_good_texts(text: str) -> None:
    """A message may have any text, up to its limit in UTF-8."""
    require_text(text, max_bytes=16)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "bad-message"),
        (" \n\t", "bad-message"),
        ("\u200b\u200b", "bad-message"),
        ("\u2800\ufeff \u3164", "bad-message"),
        ("\ud800", "bad-message"),
        ("x" * 17, "too-big"),
        ("\N{GRINNING FACE}" * 5, "too-big"),
    ],
    ids=ascii,
)
def test_bad_texts(text: str, code: str) -> None:
    """A message has something to say, and not too much."""
    with pytest.raises(Rejected) as caught:
        require_text(text, max_bytes=16)
    assert caught.value.code == code

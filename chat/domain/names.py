"""Names, ids and texts: validation, and random names."""

import re
import secrets
import unicodedata
import uuid
from typing import Final

from chat.domain import sentences
from chat.domain.errors import Refused

MAX_LENGTH: Final = 64

# The limit of a room id in UTF-8, so that it fits into a topic whatever its characters are.
MAX_ROOM_ID_BYTES: Final = 160

# Names that pages use for something else.
_RESERVED: Final = frozenset({"you"})

# Letters and symbols that are drawn as nothing: fillers of Hangul, and the empty Braille pattern.
_INVISIBLE: Final = frozenset("\u115f\u1160\u2800\u3164\uffa0")

_SLUG_GAP: Final = re.compile(r"[\W_]+")

# Controls, formats (for example changes of the writing direction), surrogates, line and paragraph ends.
_UNUSABLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})

_FIRST_WORDS: Final = """
    Able Amber Ancient Autumn Azure Bold Brave Breezy Bright Brisk Calm Candid Cheerful Clever Coastal
    Copper Coral Cosmic Cozy Crimson Crystal Curious Daring Dapper Dawn Deep Distant Eager Early Earnest
    Easy Electric Emerald Fabled Fair Faithful Fearless Fleet Floral Fond Forest Frank Free Fresh Frosty
    Gentle Gilded Glad Golden Graceful Grand Green Happy Hardy Hazel Hidden Honest Humble Icy Idle Indigo
    Ivory Jade Jolly Jovial Keen Kind Lively Lofty Loyal Lucky Lunar Mellow Merry Mild Misty Modest Mossy
    Nimble Noble Northern Olive Opal Patient Pearly Placid Plucky Polite Proud Quick Quiet Rapid Rosy
    Royal Ruby Rustic Sandy Scarlet Serene Sharp Shiny Silent Silver Simple Sincere Snowy Solar Southern
    Spry Starry Steady Stellar Stormy Sunny Swift Tender Thrifty Tidal Tidy Tranquil Trusty Upbeat Velvet
    Vivid Warm Wandering Western Wild Windy Wise Witty Woven Zesty
"""
_SECOND_WORDS: Final = """
    Acorn Alder Anchor Antelope Arbor Badger Basin Bay Beacon Beaver Birch Bison Bluff Brook Bridge Canyon
    Cedar Cliff Cloud Clover Comet Condor Cove Crane Creek Cricket Cypress Dahlia Dale Deer Delta Dolphin
    Dove Dune Eagle Echo Elk Elm Ember Falcon Fern Field Finch Fjord Forge Fountain Fox Gale Garden
    Gazelle Geyser Glacier Glade Grove Gull Harbor Hare Haven Hawk Heath Heron Hill Horizon Ibex Inlet
    Iris Island Jasmine Jay Juniper Kestrel Kite Lagoon Lake Lantern Lark Laurel Lily Lynx Maple Marsh
    Meadow Mesa Moon Mountain Nest Newt Oak Oasis Ocean Orchard Orchid Osprey Otter Owl Panda Path Pebble
    Pelican Pine Planet Plover Pond Poppy Prairie Quail Rain Raven Reef Ridge River Robin Rook Sail Seal
    Shore Sparrow Spring Spruce Star Stream Summit Swan Thicket Thistle Tiger Trail Tulip Valley Violet
    Walrus Wave Willow Wind Wolf Wren
"""
_FIRST: Final = tuple(_FIRST_WORDS.split())
_SECOND: Final = tuple(_SECOND_WORDS.split())


def random_name() -> str:
    """Return a random name of two words; it need not be unique."""
    return f"{secrets.choice(_FIRST)} {secrets.choice(_SECOND)}"


def new_room_id() -> str:
    """Return a random, unused room id."""
    return str(uuid.uuid4())


def new_key() -> str:
    """Return a random id of a member, server, or room key."""
    return uuid.uuid4().hex


def is_room_id(text: str) -> bool:
    """Return whether a room id is valid: any characters but controls."""
    return (
        0 < len(text) <= MAX_LENGTH
        and not any(unicodedata.category(character) in ("Cc", "Cs") for character in text)
        and len(text.encode()) <= MAX_ROOM_ID_BYTES
    )


def room_id_from(name: str) -> str:
    """Return a room id that resembles a name.

    ``Release 2.0`` becomes ``release-2-0``. The id is empty if nothing is left.
    """
    words = _SLUG_GAP.split(unicodedata.normalize("NFKC", name).casefold())
    slug = "-".join(word for word in words if word)[: MAX_LENGTH - 4]
    return slug if len(slug.encode()) <= MAX_ROOM_ID_BYTES - 4 else ""


def fold(name: str) -> str:
    """Return the same text for names that look alike to people."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def is_blank(text: str) -> bool:
    """Return whether nothing of a text can be seen."""
    return all(
        character in _INVISIBLE or unicodedata.category(character)[0] in "CZ" or character.isspace()
        for character in text
    )


def require_room_id(text: str) -> None:
    """Raise :class:`~chat.domain.errors.Refused` unless a room id is valid."""
    if not is_room_id(text):
        raise Refused(sentences.ROOM_ID, most=MAX_LENGTH, bytes=MAX_ROOM_ID_BYTES)


def require_name(text: str) -> str:
    """Return the normalized form of a name: NFC, without surrounding whitespace.

    Args:
        text: A name of a room or member.

    Raises:
        Refused: If the name is empty, too long, reserved, or has characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(name) <= MAX_LENGTH:
        raise Refused(sentences.NAME_LENGTH, most=MAX_LENGTH, length=len(name))
    for character in name:
        if unicodedata.category(character) in _UNUSABLE:
            raise Refused(sentences.NAME_CHARACTER, character=ord(character))
    if is_blank(name):
        raise Refused(sentences.NAME_UNSEEN)
    if fold(name) in _RESERVED:
        raise Refused(sentences.NAME_RESERVED, name=name)
    return name


def require_text(text: str, *, max_bytes: int) -> None:
    """Raise :class:`~chat.domain.errors.Refused` unless a text can be sent as a message.

    Args:
        text: The text of a message.
        max_bytes: The limit of its length in UTF-8.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Refused(sentences.TEXT_ENCODING) from None
    if size > max_bytes:
        raise Refused(sentences.TEXT_LENGTH, size=size, most=max_bytes)
    if is_blank(text):
        raise Refused(sentences.TEXT_UNSEEN)

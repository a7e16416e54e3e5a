"""Names, ids and texts: validation, and random names."""

import re
import secrets
import unicodedata
import uuid
from typing import Final

from chat.domain.errors import ChatCode
from fanline import ErrorCode, Rejected

MAX_LENGTH: Final = 64

_ROOM_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")

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
    """Return a random id of a member, a server, or the key of a room."""
    return uuid.uuid4().hex


def is_room_id(text: str) -> bool:
    """Return whether a room id is valid."""
    return _ROOM_ID.fullmatch(text) is not None


def require_room_id(text: str) -> None:
    """Raise :class:`~fanline.Rejected` unless a room id is valid."""
    if not is_room_id(text):
        reason = f"a room id has 1 to {MAX_LENGTH} characters, each a letter from A to z, a digit, _ or -"
        raise Rejected(ChatCode.BAD_ROOM, reason)


def require_name(text: str) -> str:
    """Return the normalized form of a name: NFC, without surrounding whitespace.

    Args:
        text: A name of a room or member.

    Raises:
        Rejected: If the name is empty, too long, or has characters that cannot be seen.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(name) <= MAX_LENGTH:
        raise Rejected(
            ChatCode.BAD_NAME, f"a name has 1 to {MAX_LENGTH} characters; this one has {len(name):,}"
        )
    for character in name:
        if unicodedata.category(character) in _UNUSABLE:
            raise Rejected(ChatCode.BAD_NAME, f"a name cannot contain U+{ord(character):04X}")
    return name


def require_text(text: str, *, max_bytes: int) -> None:
    """Raise :class:`~fanline.Rejected` unless a text can be sent as a message.

    Args:
        text: The text of a message.
        max_bytes: The limit of its length in UTF-8.
    """
    if not text or text.isspace():
        raise Rejected(ErrorCode.BAD_MESSAGE, "a message has at least one character that is not a space")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise Rejected(ErrorCode.BAD_MESSAGE, "a message must be text that can be encoded in UTF-8") from None
    if size > max_bytes:
        reason = f"the message has {size:,} bytes; {max_bytes:,} are allowed"
        raise Rejected(ErrorCode.TOO_BIG, reason)

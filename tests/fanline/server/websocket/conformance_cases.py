"""The cases of the Autobahn test suite for WebSockets (RFC 6455), under its numbers, as data.

Autobahn itself runs on Python 2.7 only. Left out are compression (12 and 13), which no service offers, and
what a client does about its own fragments (10).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from websockets.utils import apply_mask

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

MASK: Final = b"\x37\xfa\x21\x3d"


class Sent(NamedTuple):
    """One frame of the client.

    Attributes:
        opcode: What it is.
        payload: The bytes, before they are masked.
        is_final: Whether it is the last of its message.
        reserved: The three reserved bits.
    """

    opcode: int
    payload: bytes = b""
    is_final: bool = True
    reserved: int = 0

    def serialize(self, mask: bytes = MASK) -> bytes:
        """Return the bytes on the wire (RFC 6455, 5.2), unmasked if the mask is empty."""
        size, is_masked = len(self.payload), bool(mask) << 7
        if size < 126:
            length = bytes([is_masked | size])
        elif size < 1 << 16:
            length = bytes([is_masked | 126]) + size.to_bytes(2)
        else:
            length = bytes([is_masked | 127]) + size.to_bytes(8)
        first = bytes([self.is_final << 7 | self.reserved << 4 | self.opcode])
        return first + length + mask + (apply_mask(self.payload, mask) if mask else self.payload)


class Case(NamedTuple):
    """One conversation.

    Attributes:
        name: The number that Autobahn gives it.
        sent: The frames of the client; at None it waits for an answer.
        answers: What must come back before the close: echoed messages and pongs, those of each kind
            in this order. Among frames that arrive together, RFC 6455 does not order the kinds (5.5.3).
        codes: The close codes of which the server must answer with one.
        chop: Bytes that are written at once; 0 for all of them.
        is_closed_by_server: Whether the server closes; otherwise the client does, after the answers.
    """

    name: str
    sent: tuple[Sent | None, ...]
    answers: tuple[tuple[int, bytes], ...] = ()
    codes: frozenset[int] = frozenset({1000})
    chop: int = 0
    is_closed_by_server: bool = False


def echo(payload: bytes) -> tuple[int, bytes]:
    return BINARY, payload


def failing(
    name: str, *sent: Sent, code: int = 1002, answers: tuple[tuple[int, bytes], ...] = (), chop: int = 0
) -> Case:
    """Return a case in which the server closes because of a violation."""
    return Case(name, sent, answers, frozenset({code}), chop, is_closed_by_server=True)


def fragments(payload: bytes, size: int, opcode: int = TEXT) -> tuple[Sent, ...]:
    """Return a message in fragments of a size."""
    starts = range(0, len(payload), size)
    return tuple(
        Sent(CONT if start else opcode, payload[start : start + size], start + size >= len(payload))
        for start in starts
    )


def framing() -> Iterator[Case]:
    """Yield the cases of chapter 1: messages of every length that is encoded in another way."""
    for chapter, opcode, byte in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        sizes = (0, 125, 126, 127, 128, 65_535, 65_536, 65_536)
        for number, size in enumerate(sizes, 1):
            payload = byte * size
            yield Case(
                f"1.{chapter}.{number}",
                (Sent(opcode, payload),),
                (echo(payload),),
                chop=997 if number == 8 else 0,
            )


def pings() -> Iterator[Case]:
    """Yield the cases of chapter 2: every ping is answered, and no pong."""
    odd = b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"
    payloads = {"2.1": b"", "2.2": b"Hello, world!", "2.3": odd, "2.4": b"\xfe" * 125}
    for name, payload in payloads.items():
        yield Case(name, (Sent(PING, payload),), ((PONG, payload),))
    yield failing("2.5", Sent(PING, b"\xfe" * 126))
    yield Case("2.6", (Sent(PING, b"\xfe" * 125),), ((PONG, b"\xfe" * 125),), chop=1)
    yield Case("2.7", (Sent(PONG),))
    yield Case("2.8", (Sent(PONG, b"unsolicited pong payload"),))
    yield Case("2.9", (Sent(PONG, b"unsolicited"), Sent(PING, b"ping payload")), ((PONG, b"ping payload"),))
    ten = [b"payload-%d" % number for number in range(10)]
    for name, chop in (("2.10", 0), ("2.11", 1)):
        sent = tuple(Sent(PING, payload) for payload in ten)
        yield Case(name, sent, tuple((PONG, payload) for payload in ten), chop=chop)


HELLO = Sent(TEXT, b"Hello, world!")
HELLO_ECHO = (echo(b"Hello, world!"),)


def reserved() -> Iterator[Case]:
    """Yield the cases of chapters 3 and 4: reserved bits and opcodes."""
    yield failing("3.1", HELLO._replace(reserved=1))
    for number, chop in ((2, 0), (3, 19), (4, 1)):
        bad = HELLO._replace(reserved=number)
        yield failing(f"3.{number}", HELLO, bad, Sent(PING), answers=HELLO_ECHO, chop=chop)
    yield failing("3.5", Sent(BINARY, b"\x00\xff", reserved=5))
    yield failing("3.6", Sent(PING, b"Hello, world!", reserved=6))
    yield failing("3.7", Sent(CLOSE, reserved=7))
    for chapter, first in ((1, 3), (2, 11)):
        yield failing(f"4.{chapter}.1", Sent(first))
        yield failing(f"4.{chapter}.2", Sent(first + 1, b"reserved opcode payload"))
        for number, payload in ((3, b""), (4, b"Hello, world!"), (5, b"Hello, world!")):
            bad = Sent(first + number - 1, payload)
            chop = 1 if number == 5 else 0
            yield failing(f"4.{chapter}.{number}", HELLO, bad, Sent(PING), answers=HELLO_ECHO, chop=chop)


def fragmentation() -> Iterator[Case]:
    """Yield the cases of chapter 5: messages in fragments, with control frames between them."""
    first, last = Sent(TEXT, b"fragment1", is_final=False), Sent(CONT, b"fragment2")
    both = (echo(b"fragment1fragment2"),)
    yield failing("5.1", Sent(PING, b"fragment1", is_final=False), last)
    yield failing("5.2", Sent(PONG, b"fragment1", is_final=False), last)
    for number, chop in ((3, 0), (4, 15), (5, 1)):
        yield Case(f"5.{number}", (first, last), both, chop=chop)
        sent = (first, Sent(PING, b"ping payload"), last)
        yield Case(f"5.{number + 3}", sent, ((PONG, b"ping payload"), *both), chop=chop)
        lonely = Sent(CONT, b"non-continuation payload")
        yield failing(f"5.{number + 6}", lonely, HELLO, chop=chop)
        yield failing(f"5.{number + 9}", lonely._replace(is_final=False), HELLO, chop=chop)
    lonely = Sent(CONT, b"fragment3")
    yield failing("5.15", first, last, lonely._replace(is_final=False), HELLO, answers=both)
    yield failing("5.16", *(lonely._replace(is_final=False), first, last) * 2)
    yield failing("5.17", *(lonely, first, last) * 2)
    yield failing("5.18", first, Sent(TEXT, b"fragment2"))
    middle = Sent(CONT, b"fragment2", is_final=False)
    pings = Sent(PING, b"pongme 1!"), Sent(PING, b"pongme 2!")
    in_turns = (first, middle, pings[0], None, middle, middle, pings[1], None, last)
    answers = (PONG, b"pongme 1!"), (PONG, b"pongme 2!"), echo(b"fragment1" + b"fragment2" * 4)
    yield Case("5.19", in_turns, answers)
    yield Case("5.20", in_turns, answers, chop=15)


VALID = bytes.fromhex("cebae1bdb9cf83cebcceb5")
UMLAUTS = "Hello-µ@ßöäüàá-UTF-8!!".encode()


def texts() -> Iterator[Case]:
    """Yield the cases 6.1 to 6.4: texts in fragments, cut within characters, and where one is invalid."""
    empty = Sent(TEXT, is_final=False), Sent(CONT, is_final=False), Sent(CONT)
    yield Case("6.1.1", (Sent(TEXT),), (echo(b""),))
    yield Case("6.1.2", empty, (echo(b""),))
    middle = Sent(CONT, b"middle frame payload", is_final=False)
    yield Case("6.1.3", (empty[0], middle, empty[2]), (echo(b"middle frame payload"),))
    yield Case("6.2.1", (Sent(TEXT, UMLAUTS),), (echo(UMLAUTS),))
    for number, text, size in ((2, UMLAUTS, 13), (3, UMLAUTS, 1), (4, VALID, 1)):
        yield Case(f"6.2.{number}", fragments(text, size), (echo(text),))
    surrogate, beyond = VALID + b"\xed\xa0\x80edited", VALID + b"\xf4\x90\x80\x80edited"
    yield failing("6.3.1", Sent(TEXT, surrogate), code=1007)
    yield failing("6.3.2", *fragments(surrogate, 1), code=1007)
    for number, parts in ((1, (11, 15)), (2, (12, 13))):
        start, end = parts
        sent = Sent(TEXT, beyond[:start], is_final=False), Sent(CONT, beyond[start:end], is_final=False)
        yield failing(f"6.4.{number}", *sent, Sent(CONT, beyond[end:]), code=1007)
        yield failing(f"6.4.{number + 2}", Sent(TEXT, beyond), code=1007, chop=start + 6)


# The texts of the cases 6.5 to 6.23, in hexadecimal, by their chapter.
OVERLONG_STARTS = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"
UNEXPECTED = "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf " + bytes(range(0x80, 0xBF)).hex()
LONELY = " ".join(
    b"".join(bytes([byte, 0x20]) for byte in range(first, last)).hex()
    for first, last in ((0xC0, 0xDF), (0xE0, 0xEF), (0xF0, 0xF7), (0xF8, 0xFB), (0xFC, 0xFD))
)
SURROGATE_PAIRS = (
    "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf"
)
NO_CHARACTERS = " ".join(
    chr(plane << 16 | end).encode().hex() for plane in range(17) for end in (0xFFFE, 0xFFFF)
)
SEQUENCES = {
    "6.5": " ".join(f"hello{sign}world".encode().hex() for sign in "$¢€\U00024b62") + f" {VALID.hex()}",
    "6.6": " ".join(VALID[:end].hex() for end in range(1, len(VALID) + 1)),
    "6.7": "00 c280 e0a080 f0908080",
    "6.8": "f888808080 fc8480808080",
    "6.9": "7f dfbf efbfbf f48fbfbf",
    "6.10": "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
    "6.11": "ed9fbf ee8080 efbfbd f48fbfbf f4908080",
    "6.12": UNEXPECTED,
    "6.13": LONELY,
    "6.14": OVERLONG_STARTS,
    "6.15": OVERLONG_STARTS.replace(" ", ""),
    "6.16": "fe ff fefeffff",
    "6.17": "c0af e080af f08080af f8808080af fc80808080af",
    "6.18": "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",
    "6.19": "c080 e08080 f0808080 f880808080 fc8080808080",
    "6.20": "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",
    "6.21": SURROGATE_PAIRS,
    "6.22": NO_CHARACTERS,
    "6.23": "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf",
}

# Which of them are valid: all of some chapters, and of others the ones with these numbers.
ALL_VALID = {"6.5", "6.7", "6.9", "6.22", "6.23"}
SOME_VALID = {"6.6": {2, 5, 7, 9, 11}, "6.11": {1, 2, 3, 4}}


def utf8() -> Iterator[Case]:
    """Yield the cases 6.5 to 6.23: texts that are valid UTF-8, and texts that are not."""
    for chapter, sequences in SEQUENCES.items():
        for number, code in enumerate(sequences.split(), 1):
            text = bytes.fromhex(code)
            if chapter in ALL_VALID or number in SOME_VALID.get(chapter, ()):
                yield Case(f"{chapter}.{number}", (Sent(TEXT, text),), (echo(text),))
            else:
                yield failing(f"{chapter}.{number}", Sent(TEXT, text), code=1007)


def closing(code: int = 1000, reason: bytes = b"") -> Sent:
    return Sent(CLOSE, code.to_bytes(2) + reason)


def closes() -> Iterator[Case]:
    """Yield the cases of chapter 7: the closing handshake, its codes and its reasons."""
    yield Case("7.1.1", (HELLO,), HELLO_ECHO)
    for number, after in ((2, Sent(CLOSE)), (3, Sent(PING)), (4, HELLO)):
        yield Case(f"7.1.{number}", (closing(), after), is_closed_by_server=True)
    # A close within a message is a violation here; for Autobahn, it is a normal close.
    first, last = Sent(TEXT, b"fragment1", is_final=False), Sent(CONT, b"fragment2")
    yield failing("7.1.5", first, closing(), last)
    large = Sent(TEXT, b"BAsd7&jh23"[:8] * (1 << 15))
    sent = large, HELLO, closing(), Sent(PING)
    yield Case("7.1.6", sent, (echo(large.payload), *HELLO_ECHO), is_closed_by_server=True)
    yield Case("7.3.1", (Sent(CLOSE),), codes=frozenset({1005}), is_closed_by_server=True)
    yield failing("7.3.2", Sent(CLOSE, b"a"))
    for number, reason in ((3, b""), (4, b"Hello World!"), (5, b"*" * 123)):
        yield Case(f"7.3.{number}", (closing(reason=reason),), is_closed_by_server=True)
    yield failing("7.3.6", closing(reason=b"*" * 124))
    yield failing("7.5.1", closing(reason=VALID + b"\xed\xa0\x80edited"), code=1007)
    valid = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
    for number, code in enumerate(valid, 1):
        yield Case(f"7.7.{number}", (closing(code),), codes=frozenset({code}), is_closed_by_server=True)
    for number, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999), 1):
        yield failing(f"7.9.{number}", closing(code))
    yield failing("7.13.1", closing(5000))
    yield failing("7.13.2", Sent(CLOSE, (65_536).to_bytes(4)))


def sizes() -> Iterator[Case]:
    """Yield the cases of chapter 9: large messages, whole, in fragments and in small writes, and many."""
    for text, opcode, unit in ((1, TEXT, b"BAsd7&jh"), (2, BINARY, b"\x00\xfe\x23\xfa")):
        for number, size in enumerate((1 << 16, 1 << 18, 1 << 20, 4 << 20, 8 << 20, 16 << 20), 1):
            payload = unit * (size // len(unit))
            yield Case(f"9.{text}.{number}", (Sent(opcode, payload),), (echo(payload),))
        payload = unit * ((4 << 20) // len(unit))
        for number in range(1, 10):
            sent = fragments(payload, 64 << 2 * (number - 1), opcode)
            yield Case(f"9.{text + 2}.{number}", sent, (echo(payload),))
        payload = unit * ((1 << 20) // len(unit))
        for number in range(1, 7):
            yield Case(
                f"9.{text + 4}.{number}", (Sent(opcode, payload),), (echo(payload),), chop=32 << number
            )
        for number, size in enumerate((0, 16, 64, 256, 1_024, 4_096), 1):
            payload = unit * (size // len(unit))
            yield Case(f"9.{text + 6}.{number}", (Sent(opcode, payload),) * 1_000, (echo(payload),) * 1_000)


def cases() -> Iterator[Case]:
    """Yield every case that needs no large message."""
    for chapter in (framing, pings, reserved, fragmentation, texts, utf8, closes):
        yield from chapter()

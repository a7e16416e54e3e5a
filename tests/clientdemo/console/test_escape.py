"""Tests of messages as text."""

import msgspec
import pytest

from clientdemo.console.escape import content_of, escape_controls, json_line
from fanline import Message


def message(content: bytes) -> Message:
    return Message("t", msgspec.Raw(content), seq=7, time=8, id="a", sender="hello")


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        (b'"plain words"', "plain words"),
        (b'"\\u00e4 \xe2\x82\xac"', "ä €"),
        (b'"two\\nlines\\tand a tab"', "two\\nlines\\tand a tab"),
        (b'"\\u001b[31mred\\u009b"', "\\x1b[31mred\\x9b"),
        (b'{"a": [1, null]}', '{"a": [1, null]}'),
        (b'{"a":\n1}', '{"a":\\n1}'),
        (b"-1.50", "-1.50"),
        (b'"half \\ud800"', '"half \\ud800"'),
    ],
)
def test_content_for_people(content: bytes, shown: str) -> None:
    """Content takes one line, whatever it holds, and cannot give orders to a terminal."""
    assert content_of(message(content)) == shown


def test_escape_controls_leaves_other_text_alone() -> None:
    """Only control characters are written as escapes."""
    assert escape_controls("ä ☃ \u2028\x7f") == "ä ☃ \\u2028\\x7f"


def test_json_is_one_line() -> None:
    """For programs the whole message comes as it is, but for line breaks between its tokens."""
    fields = b'"seq":7,"time":8,"id":"a","from":"hello"}'
    assert json_line(message(b'{"a": 1.0}')) == b'{"topic":"t","content":{"a": 1.0},' + fields
    assert json_line(message(b'{"a":\r\n 1.0}')) == b'{"topic":"t","content":{"a":1.0},' + fields

"""The catalog of sentences."""

import re

from chat.domain import sentences
from chat.domain.sentences import Ending, Sentence


def test_all_are_sentences_for_people() -> None:
    """Each begins with a capital letter, ends with a full stop, and has no word of a program's."""
    found = [each for each in vars(sentences).values() if isinstance(each, Sentence | Ending)]
    texts = [each.text for each in found] + [*sentences.FORMS.values(), sentences.INVALID]
    assert len(texts) > 50
    for text in texts:
        assert re.fullmatch(r"[A-Z].*[.}]", text), text
        assert not re.search(r"pattern|regex|string|schema|POST", text), text


def test_a_close_reason_fits_into_its_frame() -> None:
    """A close frame has at most 123 bytes for its reason (RFC 6455, 5.5)."""
    endings = [each for each in vars(sentences).values() if isinstance(each, Ending)]
    assert all(len(each.text.encode()) <= 123 for each in endings)

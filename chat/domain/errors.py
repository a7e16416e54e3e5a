"""Exceptions of chat; what they say is in :mod:`chat.domain.sentences`.

Exceptions::

    Rejected
    └── Refused             a request is refused, with a sentence of the catalog
        └── Unavailable     the pipeline does not answer; a later attempt may succeed
    FanlineError
    └── MemberClosed        the server closed a connection, with a close code and a reason
"""

from chat.domain.sentences import Sentence
from fanline import FanlineError, Rejected


class Refused(Rejected):
    """A request is refused.

    Args:
        sentence: The reason.
        id: The id of the message that was refused, if it had one.
        seconds: After how long to try again, if the sentence names that.
        values: What the sentence names in braces.

    Attributes:
        field: The field of the request to change; None if there is none.
    """

    def __init__(
        self,
        sentence: Sentence,
        id: str | None = None,  # noqa: A002
        *,
        seconds: int | None = None,
        **values: object,
    ) -> None:
        self.field = sentence.field
        retry_ms = None if seconds is None else 1_000 * seconds
        super().__init__(sentence.code, sentence.text.format(seconds=seconds, **values), id, retry_ms)


class Unavailable(Refused):
    """The pipeline does not answer; a later attempt may succeed."""


class MemberClosed(FanlineError):
    """The server closed a connection.

    Args:
        code: The WebSocket close code, which tells the client what to do.
        reason: A sentence for people.
    """

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(code, reason)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code})"


def quoted(text: str) -> str:
    """Return a client's text for a sentence, in ASCII and short.

    It is not longer than an id.
    """
    return ascii(text if len(text) <= 64 else text[:64] + "…")

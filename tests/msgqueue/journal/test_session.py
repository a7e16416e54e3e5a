"""The connection to a NATS server, without one."""

import ssl

import pytest

from msgqueue.journal.base import JournalError
from msgqueue.journal.session import NatsLogin, Session


async def test_a_server_that_is_not_there_is_given_up_at_once(tls: ssl.SSLContext) -> None:
    """The client library tried again for four seconds, in which nothing was acknowledged (line 60)."""
    with pytest.raises(JournalError, match=r"cannot connect to .*:1: .*(refused|Connect call failed)"):
        await Session.connect("tls://localhost:1", "X", NatsLogin(tls, "fanline", "secret"))

"""``GET /topics/{topic}/presence``: who is present on a topic.

::

    {"topic": "room.7", "seq": 41, "epoch": "e9f86d081884c",
     "present": [{"user": "alice", "as": "tablet", "since": 1795209095123}]}

Who joins and leaves after position ``seq`` is told by the messages of ``$presence.room.7``.
"""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from fanline.errors import ErrorCode, Rejected
from fanline.presence.events import PresenceList, PresentUser, require_presence
from fanline.protocol import encode
from fanline.protocol.topics import presence_topic, require_topic
from subscriber.live_feed import LiveFeed

PRESENCE_PATH: Final = "/topics/{topic:path}/presence"


class PresencePage:
    """Answers requests for who is present.

    Args:
        feed: Tells who is present, as of which position.
        patience: Seconds that a request waits until that is known.
    """

    def __init__(self, feed: LiveFeed, *, patience: float) -> None:
        self._feed = feed
        self._presence = feed.presence
        self._patience = patience

    async def show(self, request: Request) -> Response:
        """Return who is present.

        Raises:
            Rejected: If there is something wrong with the topic, or it is not known in time.
        """
        topic = request.path_params["topic"]
        require_topic(topic)
        require_presence(topic, None)
        if not request.user.may_subscribe(presence_topic(topic)):
            reason = (
                f'{request.user.name} may not see who is present on "{topic}": ask the operator for the right'
            )
            raise Rejected(ErrorCode.FORBIDDEN, reason)
        await self._wait()
        present = sorted(self._presence.state.present(topic), key=lambda each: each[0].seq)
        users = [PresentUser(each.session.user, each.session.name, each.since) for each, _ in present]
        found = PresenceList(topic, self._feed.head, self._feed.epoch, users)
        return Response(encode(found), media_type="application/json")

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await self._feed.wait_until_ready()
                if self._feed.can_resume:
                    await self._presence.wait_until_ready()
        except TimeoutError:
            raise Rejected(ErrorCode.QUEUE_UNAVAILABLE, "msgqueue does not answer; try again") from None
        if not self._feed.can_resume:
            raise Rejected(ErrorCode.RESUME_UNAVAILABLE, "msgqueue keeps no log that could be read")

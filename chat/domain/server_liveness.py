"""Which servers are dead, by the log alone.

Every server writes a beat now and then, and what its members do is a sign of life too. Its beats are also the
only clock of a server: one that sees several of its own come back, and in between no sign of another, knows
that the other has been silent for that long. During an outage of the pipeline its own do not come back
either; so nobody is taken for dead because nobody can write.

A server that is alone need not beat: nobody is there to hear it, or to be heard. The first beat of another
server, which each writes when it starts, is what ends that.
"""

from collections.abc import Collection
from typing import Final

# Seconds between the beats of a server.
INTERVAL: Final = 2.5

# So many of one's own without a sign of another: it has been silent for 10 to 12.5 seconds. That is longer
# than it takes after an outage until all servers are connected again.
PATIENCE: Final = 5


class Presence:
    """Counts the beats of one server against the signs of life of the others.

    Args:
        server: Whose beats are counted.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._silence: dict[str, int] = {}

    @property
    def is_alone(self) -> bool:
        """Whether no other server is alive, as far as one can tell."""
        return all(beats >= PATIENCE for beats in self._silence.values())

    def sign(self, server: str) -> None:
        """Note a sign of life."""
        if server != self._server:
            self._silence[server] = 0

    def beat(self, servers: Collection[str]) -> list[str]:
        """Note that a beat of this server has come back.

        Args:
            servers: Those that have members.

        Returns:
            Those of them that are dead; again with each beat, as long as they have members.
        """
        others = self._silence.keys() | set(servers) - {self._server}
        silence = {server: self._silence.get(server, 0) + 1 for server in others}
        dead = [server for server, beats in silence.items() if beats >= PATIENCE]
        self._silence = {
            server: beats for server, beats in silence.items() if beats < PATIENCE or server in servers
        }
        return [server for server in dead if server in servers]

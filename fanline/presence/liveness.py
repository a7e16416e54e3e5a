"""Detection of dead servers, from the log alone.

Each server writes beats, and each join or message of its members is a sign of life as well. The beats that a
server reads back are its clock: a server that reads several of its own beats, and no sign of another server
between them, knows that the other has been silent for that time. During an outage of the pipeline no beats
come back, so that no server is declared dead because none can write.

A server that is alone need not beat. The first beat of another server, written when it starts, ends that.
"""

from collections.abc import Collection
from typing import Final

# Seconds between the beats of a server.
BEAT_INTERVAL: Final = 2.5

# Seconds between looks at what is to be written, at most.
TICK: Final = 0.5

# Own beats without a sign of another server, after which that server is dead: 10 to 12.5 seconds of silence.
# After an outage, all servers are connected again sooner than that.
MISSED_BEATS: Final = 5


class ServerLiveness:
    """Count a server's own beats against signs of life of the others.

    Args:
        server: The id of this server.

    Attributes:
        silence: Own beats since the last sign of each other server, by its id.
    """

    def __init__(self, server: str) -> None:
        self.silence: dict[str, int] = {}
        self._server = server

    @property
    def is_alone(self) -> bool:
        """True if no other server is known to be alive."""
        return all(beats >= MISSED_BEATS for beats in self.silence.values())

    @property
    def dead(self) -> list[str]:
        """The dead servers that had members at this server's last beat."""
        return [server for server, beats in self.silence.items() if beats >= MISSED_BEATS]

    def record_sign(self, server: str) -> None:
        """Record a sign of life of a server."""
        if server != self._server:
            self.silence[server] = 0

    def record_own_beat(self, servers: Collection[str]) -> list[str]:
        """Record a beat of this server, and return the dead servers.

        Args:
            servers: The servers that have members.

        Returns:
            The dead servers among them; the same again at each beat until they have no members.
        """
        others = self.silence.keys() | set(servers) - {self._server}
        silence = {server: self.silence.get(server, 0) + 1 for server in others}
        self.silence = {
            server: beats for server, beats in silence.items() if beats < MISSED_BEATS or server in servers
        }
        return self.dead
